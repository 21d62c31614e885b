import t from 'tap'
import { connect, startService, until } from '../support.ts'
import type { Answer } from '../support.ts'
import { ackOne, pushIds, take, takeIds, takeOne } from './consumer.ts'

const MILLI = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('partitions', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const list = async (query: string): Promise<any> => (await service.call('GET', `/api/v1/resources/partitions?${query}`)).json
  const names = async (query: string): Promise<string[]> => (await list(query)).partitions.map(({ queue, name }: any) => `${queue}/${name}`)
  const remove = async (queue: string, partition: string): Promise<Answer> =>
    await service.call('DELETE', `/api/v1/resources/queues/${queue}/partitions/${encodeURIComponent(partition)}`)

  t.test('are listed by queue and name with their counts', async t => {
    await pushIds(service, 'shop.bill', ['a', 'b'], 'x')
    await pushIds(service, 'shop.bill', ['c'], 'w')
    await pushIds(service, 'shop.mail', ['d'], 'xx')
    await take(service, 'shop.bill/partition/x')
    const { partitions, total, pagination } = await list('queue=shop.bill')
    t.equal(total, 2)
    t.strictSame(pagination, { limit: 100, offset: 0 })
    const { id, createdAt, lastActivity, oldestMessage, newestMessage, ...x } = partitions[1]
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8000-8000-000000000000$/)
    t.match([createdAt, lastActivity, oldestMessage, newestMessage], [MILLI, MILLI, MILLI, MILLI])
    t.strictSame(x, {
      name: 'x',
      queue: 'shop.bill',
      namespace: 'shop',
      task: 'bill',
      messages: { total: 2, pending: 1, processing: 1, completed: 0, failed: 0, deadLetter: 0 }
    })
    t.strictSame(await names(''), ['shop.bill/w', 'shop.bill/x', 'shop.mail/xx'])
    t.strictSame(await names('namespace=shop&task=mail'), ['shop.mail/xx'])
    t.strictSame(await names('search=X'), ['shop.bill/x', 'shop.mail/xx'])
    t.strictSame(await names('limit=1&offset=1'), ['shop.bill/x'])
    const beyond = await list('limit=1&offset=7')
    t.strictSame([beyond.partitions, beyond.total], [[], 3])
    t.strictSame(await names('queue=nothing'), [])
  })

  t.test('can be deleted with everything in them; the next push makes them anew', async t => {
    const second = await startService(t, { databaseUrl: service.databaseUrl })
    await pushIds(service, 'gone', ['a', 'b'], 'p/1')
    await pushIds(second, 'gone', ['c'], 'kept')
    await ackOne(service, await takeOne(service, 'gone/partition/p%2F1'))
    const answer = await remove('gone', 'p/1')
    t.equal(answer.status, 200)
    t.strictSame(answer.json, { deleted: true, queue: 'gone', partition: 'p/1', existed: true })
    t.strictSame((await remove('gone', 'p/1')).json, { deleted: true, queue: 'gone', partition: 'p/1', existed: false })
    t.strictSame((await remove('nothing', 'p')).json, { deleted: true, queue: 'nothing', partition: 'p', existed: false })
    t.strictSame(await names('queue=gone'), ['gone/kept'])
    await until(async () => (await sql`select from regent.removals`).length === 0)
    t.equal((await sql`select from regent.segments s where not exists (select from regent.partitions p where p.id = s.partition_id)`).length, 0)
    // Both instances knew it before.
    t.equal((await service.push([{ queue: 'gone', partition: 'p/1', transactionId: 'a' }])).json[0].status, 'queued')
    t.equal((await second.push([{ queue: 'gone', partition: 'p/1', transactionId: 'a' }])).json[0].status, 'duplicate')
    t.strictSame(await takeIds(service, 'gone/partition/p%2F1?batch=9'), ['a'])
    t.equal((await remove('gone', 'x'.repeat(256))).json.field, 'partition')
  })
})
