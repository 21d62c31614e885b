import { rmSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { poll, payloads, untilParked } from '../poll/parked.ts'
import { connect, databaseUrl, until } from '../support.ts'
import { buffered, startBuffered, statuses, takeAll, untilDrained } from './support.ts'
import type { Service } from '../support.ts'

async function state (service: Service): Promise<string> {
  return (await service.call('GET', '/health')).json.pushes
}

t.test('a database whose functions are missing for a while costs no record', async t => {
  const { service, proxy } = await startBuffered(t)
  const sql = connect(t, proxy.url)
  await service.push([{ queue: 'q', payload: 0 }])
  await proxy.leave()
  for (let n = 1; n <= 5; n++) await service.push([{ queue: 'q', payload: n }])
  await proxy.comeBack()
  const [signature] = await sql`select oid::regprocedure::text as name from pg_proc where proname = 'push_v2'`
  // As after a downgrade, or in the middle of a restore.
  await sql.unsafe(`alter function ${signature?.name} rename to push_away`)
  await until(async () => await state(service) === 'draining')
  t.equal(await buffered(service), 5)
  await sql.unsafe(`alter function ${String(signature?.name).replace('push_v2', 'push_away')} rename to push_v2`)
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), [0, 1, 2, 3, 4, 5])
  t.match((await service.call('GET', '/api/v1/status/buffers')).json, { failed: 0 })
})

t.test('a database that no longer lets the service in is away', async t => {
  const { service, proxy } = await startBuffered(t)
  await service.push([{ queue: 'q', payload: 0 }])
  const outside = connect(t, databaseUrl())
  const name = new URL(proxy.url).pathname.slice(1)
  await outside.unsafe(`alter database ${name} allow_connections false`)
  proxy.cutAll()
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 1 }])), ['buffered'])
  await outside.unsafe(`alter database ${name} allow_connections true`)
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), [0, 1])
})

t.test('what is too much for one statement is moved in parts', async t => {
  const { service, proxy } = await startBuffered(t, { statementTimeoutMs: 1000, callTimeoutMs: 5000 })
  const sql = connect(t, proxy.url)
  await service.push([{ queue: 'q', payload: 'first' }])
  // Every segment takes so long: ten are too many for one statement.
  await sql.unsafe('create function regent.slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.2); return new; end $$')
  await sql.unsafe('create trigger slowly before insert on regent.segments for each row execute function regent.slowly()')
  await proxy.leave()
  for (let n = 0; n < 10; n++) await service.push([{ queue: 'q', partition: `p${n}`, payload: n }])
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame((await takeAll(service, 'q')).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 'first'])
})

t.test('one partition that the database cannot take holds up its own queue, not the others', async t => {
  const { service, proxy } = await startBuffered(t)
  const sql = connect(t, proxy.url)
  await service.push([{ queue: 'q', payload: 0 }])
  await sql.unsafe('create function regent.unreadable() returns trigger language plpgsql as $$ begin raise exception \'could not read block\' using errcode = \'58030\'; end $$')
  await sql.unsafe('create trigger unreadable before insert on regent.segments for each row when (new.body like \'%broken%\') execute function regent.unreadable()')
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 'broken' }])), ['buffered'])
  // Another one each time: what was buffered before that was found out is behind it, and so is its queue.
  let others = 0
  await until(async () => {
    const answers: unknown[] = []
    for (let i = 0; i < 20; i++) answers.push(...statuses(await service.push([{ queue: `other ${others++}`, payload: 1 }])))
    return answers.every(status => status === 'queued')
  }, 60_000)
  t.not(await buffered(service), 0)
  await sql.unsafe('drop trigger unreadable on regent.segments')
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), [0, 'broken'])
})

t.test('pushes are answered when the buffer cannot be read in mid-drain', async t => {
  const { service, proxy, folder } = await startBuffered(t, { fileBufferMaxBatch: 4, fileBufferEventsPerFile: 5 })
  await service.push([{ queue: 'q', payload: 'first' }])
  await proxy.leave()
  for (let n = 0; n < 40; n++) await service.push([{ queue: 'q', payload: n }])
  const caught = proxy.catch('answer', /push_v2/)
  await proxy.comeBack()
  const held = await caught
  for (const name of readdirSync(folder).filter(file => file.endsWith('.log'))) rmSync(join(folder, name))
  const answers = Array.from({ length: 8 }, async (_, n) => await service.push([{ queue: 'q', payload: `late ${n}` }]))
  held.release()
  for (const answer of await Promise.all(answers)) t.ok([201, 503].includes(answer.status), answer.text)
})

t.test('a push of many messages does not keep the drain from its end', async t => {
  const { service, proxy } = await startBuffered(t, { fileBufferMaxBatch: 20 })
  await proxy.leave()
  const over = new AbortController()
  const direct = new Set<number>()
  const producers = Array.from({ length: 6 }, async (_, producer) => {
    while (!over.signal.aborted) {
      const [status] = statuses(await service.push(Array.from({ length: 20 }, () => ({ queue: 'q', payload: producer }))))
      if (status === 'queued') direct.add(producer)
    }
  })
  await until(async () => await buffered(service) > 1000)
  await proxy.comeBack()
  await until(() => direct.size === 6, 60_000)
  over.abort()
  await Promise.all(producers)
  t.equal(await buffered(service), 0)
})

t.test('a message that was stored without an answer wakes who waits for it', async t => {
  const { service, proxy } = await startBuffered(t, { safetyNetMs: 0 })
  await service.push([{ queue: 'q', payload: 0 }])
  t.strictSame(payloads(await service.pop('q?autoAck=true')), [0])
  const parked = poll(service, 'q', 60_000)
  await untilParked(service, 1, proxy)
  const caught = proxy.catch('answer', /push_v2/)
  const pushed = service.push([{ queue: 'q', payload: 1 }])
  ;(await caught).cut()
  t.strictSame(statuses(await pushed), ['queued'])
  t.strictSame(payloads(await parked.answer), [1])
})

t.test('a push of which a part was stored does not say that nothing was', async t => {
  const { service, proxy } = await startBuffered(t)
  const sql = connect(t, proxy.url)
  await service.push([{ queue: 'a', payload: 0 }, { queue: 'b', payload: 0 }])
  await service.call('POST', '/api/v1/configure', { queue: 'full', options: { maxSize: 1 } })
  await service.push([{ queue: 'full', payload: 0 }])
  // What this process knows of the queue is out of date: the first round stores one part and looks the other up again.
  await sql`update regent.queues set push_version = push_version + 1, max_size = 1, backlog_bound = null where name = 'b'`
  await sql`update regent.partitions set push_version = push_version + 1 where queue_id = (select id from regent.queues where name = 'b')`
  const answer = await service.push([{ queue: 'a', payload: 1 }, { queue: 'b', payload: 1 }])
  t.equal((await sql`select from regent.messages where queue = 'a'`).length, 2, 'one was stored')
  t.match(answer.json, { code: 'RGT_OUTCOME_UNKNOWN' })
})
