import t from 'tap'
import { connect, startService } from './support.ts'
t.test('scale', { timeout: 170000 }, async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  await sql`insert into regent.queues (name, namespace, task) select 'q' || i, 'n' || i % 3, 't' from generate_series(1, 50) i`
  await sql`insert into regent.groups (queue_id, name, seeded_to) select q.id, g, null from regent.queues q cross join unnest(array['__QUEUE_MODE__', 'g1']) g where q.id <= 40`
  await sql`insert into regent.partitions (queue_id, name, head, last_at, oldest_at)
    select case when i <= 60000 then 1 else 1 + i % 50 end, 'p' || i, 3, now() - i * interval '30 milliseconds', now() - i * interval '30 milliseconds' from generate_series(1, 100000) i`
  await sql`insert into regent.segments (partition_id, first, count, bytes, created_at, tx, body)
    select p.id, 1, 3, 200, p.last_at, '{1,2,3}', (select string_agg('{"transactionId":"' || p.id || '-' || n || '","traceId":null,"producerSub":null,"data":1}', E'\n') from generate_series(1,3) n) from regent.partitions p`
  await sql`insert into regent.cursors (partition_id, group_id, committed, available_at)
    select p.id, g.id, case when p.id % 2 = 0 then 3 else 1 end, case when p.id % 2 = 0 then 'infinity' else now() end from regent.partitions p join regent.groups g on g.queue_id = p.queue_id`
  const go = async (): Promise<void> => {
    for (const path of ['resources/overview', 'status/queues', 'resources/queues', 'resources/queues?limit=1', 'status/queues/q1', 'status/queues/q1?limit=10', 'resources/queues/q3', 'resources/partitions', 'resources/partitions?limit=1000&offset=90000', 'resources/partitions?search=77777',
      'resources/namespaces', 'messages', 'messages?limit=1000&offset=5000', 'messages?status=pending', 'messages?status=completed', 'messages?status=processing', 'messages?status=dead_letter', 'messages?to=2020-01-01&from=2019-01-01', `messages?to=${encodeURIComponent(new Date(Date.now() - 1_500_000).toISOString())}`, 'messages?queue=q3', 'messages?partition=p500']) {
      const at = performance.now()
      const answer = await service.call('GET', `/api/v1/${path}`)
      console.log(String(answer.status), Math.round(performance.now() - at) + ' ms', path, answer.text.length, answer.status === 200 ? '' : answer.text)
    }
  }
  await go()
  await sql`analyze`
  console.log('--- analyzed')
  await go()
  for (const q of ['DELETE']) {
    const at = performance.now()
    const answer = await service.call(q, '/api/v1/queues/q1/clear')
    console.log(answer.text, Math.round(performance.now() - at) + ' ms')
  }
})
