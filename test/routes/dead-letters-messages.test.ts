import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Answer } from '../support.ts'
import { ackOne, configure, expireLeases, pushIds, take, takeIds, takeOne } from './consumer.ts'
import type { Message } from './consumer.ts'
import { bury, buryNext, deadLetters } from './dead-letters.ts'

const UNKNOWN = { status: 404, json: { error: 'Message not found', code: 'RGT_MESSAGE_UNKNOWN', retryable: false } }

t.test('one message and the dead letters', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const ask = async ({ partitionId, transactionId }: Pick<Message, 'partitionId' | 'transactionId'>, what: 'retry' | 'dlq', body?: unknown): Promise<Answer> =>
    await service.call('POST', `/api/v1/messages/${partitionId}/${encodeURIComponent(transactionId)}/${what}`, body)
  const drained = async (queue: string): Promise<boolean> => (await sql`select from regent.cursors c join regent.partitions p on p.id = c.partition_id
    join regent.queues q on q.id = p.queue_id where q.name = ${queue} and c.available_at < 'infinity'`).length === 0

  t.test('retry puts a dead-lettered message back once for all its groups', async t => {
    await bury(service, 'dead', ['a/b'], { group: 'g' })
    await buryNext(service, 'dead', 1, { group: 'h' })
    const [{ partitionId, transactionId }] = await deadLetters(service, 'dead') as [Message]
    t.same((await ask({ partitionId, transactionId }, 'retry', {})).json, { success: true, partitionId, transactionId, redriven: 2, madeAvailable: [] })
    for (const group of ['g', 'h']) t.same(await takeIds(service, `dead?batch=10&consumerGroup=${group}`), ['a/b'])
    t.same((await ask({ partitionId, transactionId }, 'retry')).json.redriven, 0, 'only once')
  })

  t.test('retry puts a dead letter back also when its message has been deleted since', async t => {
    await bury(service, 'copy', ['a'])
    await sql`delete from regent.segments s using regent.partitions p, regent.queues q where p.id = s.partition_id and q.id = p.queue_id and q.name = 'copy'`
    const [dead] = await deadLetters(service, 'copy')
    t.match((await ask(dead, 'retry')).json, { redriven: 1 })
    t.same(await takeIds(service, 'copy'), ['a'])
  })

  t.test('retry ends the waiting of a message that failed', async t => {
    await configure(service, 'failed', { retryDelay: 3_600_000 })
    await pushIds(service, 'failed', ['a', 'b'])
    const [a] = await take(service, 'failed?batch=2&consumerGroup=g')
    if (a === undefined) throw new Error('nothing was delivered')
    await ackOne(service, a, { status: 'failed' })
    t.same(await takeIds(service, 'failed?consumerGroup=g'), [])
    const [b] = await take(service, 'failed?batch=2')
    if (b === undefined) throw new Error('nothing was delivered')
    t.match((await ask(a, 'retry')).json, { success: true, redriven: 0, madeAvailable: ['g'] })
    t.same((await take(service, 'failed?batch=2&consumerGroup=g')).map(message => [message.transactionId, message.retryCount]), [['a', 1], ['b', 0]])
    t.match((await ask(a, 'retry')).json, { success: true, redriven: 0, madeAvailable: [] }, 'what is leased stays so')
    t.same(await takeIds(service, 'failed?consumerGroup=g'), [])
  })

  t.test('dlq moves a message that waits, and the group goes on behind it', async t => {
    await pushIds(service, 'waits', ['a', 'b', 'c'])
    t.same(await takeIds(service, 'waits?batch=1&consumerGroup=g'), ['a'])
    await expireLeases(sql, 'waits')
    const [, b] = await take(service, 'waits?batch=2&consumerGroup=other')
    if (b === undefined) throw new Error('nothing was delivered')
    const answer = await ask(b, 'dlq', { consumerGroup: 'g', error: 'no good' })
    t.equal(answer.status, 200)
    t.same(answer.json, { success: true, partitionId: b.partitionId, transactionId: 'b', moved: 1, consumerGroups: ['g'] })
    t.match(await deadLetters(service, 'waits'), [{ transactionId: 'b', consumerGroup: 'g', errorMessage: 'no good', retryCount: 0, id: b.id, data: 'b' }])
    t.same(await takeIds(service, 'waits?batch=10&consumerGroup=g'), ['a', 'c'])
    t.same((await ask(b, 'dlq', { consumerGroup: 'g' })).json, { success: true, partitionId: b.partitionId, transactionId: 'b', moved: 0, consumerGroups: [] }, 'once is enough')
    t.equal((await deadLetters(service, 'waits')).length, 1)
  })

  t.test('dlq moves a message for every group that has not acknowledged it', async t => {
    await pushIds(service, 'every', ['a'])
    await takeIds(service, 'every?consumerGroup=g')
    await takeIds(service, 'every?consumerGroup=h')
    const a = await takeOne(service, 'every?consumerGroup=done')
    await ackOne(service, a)
    t.same((await ask(a, 'dlq')).json.consumerGroups, ['g', 'h'])
    t.same((await deadLetters(service, 'every')).map(message => [message.consumerGroup, message.errorMessage]).sort(),
      [['g', 'Moved to the dead letters by request'], ['h', 'Moved to the dead letters by request']])
    t.ok(await drained('every'), 'nobody has anything left to read')
  })

  t.test('dlq moves a message before anybody consumes', async t => {
    await pushIds(service, 'unread', ['a', 'b'])
    const [pushed] = (await service.push([{ queue: 'unread', transactionId: 'c', payload: 1 }])).json
    t.same((await ask({ partitionId: pushed.partition_id, transactionId: 'a' }, 'dlq')).json.consumerGroups, ['__QUEUE_MODE__'])
    t.same(await takeIds(service, 'unread?batch=10'), ['b', 'c'])
  })

  t.test('dlq moves what is leased, and its holder goes on as if it had acknowledged it', async t => {
    await configure(service, 'leased', { retryLimit: 0 })
    await pushIds(service, 'leased', ['a', 'b', 'c'])
    const [a, b, c] = await take(service, 'leased?batch=3')
    if (a === undefined || b === undefined || c === undefined) throw new Error('too few')
    t.match((await ask(b, 'dlq')).json, { moved: 1 })
    t.match(await ackOne(service, b), { success: true, error: null, dlq: false })
    t.match(await ackOne(service, a), { success: true, leaseReleased: false })
    t.match(await ackOne(service, c), { success: true, leaseReleased: true })
    t.equal((await deadLetters(service, 'leased')).length, 1)
    t.ok(await drained('leased'))
  })

  t.test('dlq ends a lease that has nothing else left', async t => {
    await pushIds(service, 'ended', ['a', 'b'])
    const a = await takeOne(service, 'ended')
    t.match((await ask(a, 'dlq', { error: 7 })).json, { moved: 1 })
    t.same(await takeIds(service, 'ended'), ['b'], 'the partition is free again')
    t.match(await ackOne(service, a), { success: true, error: null }, 'its holder hears nothing bad')
  })

  t.test('dlq keeps the count of failures', async t => {
    await configure(service, 'counted', { retryDelay: 0 })
    await pushIds(service, 'counted', ['a'])
    await ackOne(service, await takeOne(service, 'counted'), { status: 'failed' })
    const again = await takeOne(service, 'counted')
    await ask(again, 'dlq')
    t.match(await deadLetters(service, 'counted'), [{ retryCount: 1 }])
    t.same(await sql`select from regent.attempts t join regent.partitions p on p.id = t.partition_id
      join regent.queues q on q.id = p.queue_id where q.name = 'counted'`, [], 'nothing is kept about a message that is done')
  })

  t.test('dlq refuses what it cannot do', async t => {
    await pushIds(service, 'refused', ['a'])
    const a = await takeOne(service, 'refused')
    t.match(await ask(a, 'dlq', { consumerGroup: 'nobody' }), { status: 404, json: { error: 'Consumer group not found', code: 'RGT_GROUP_UNKNOWN' } })
    t.match(await ask(a, 'dlq', { consumerGroup: 5 }), { status: 400, json: { field: 'consumerGroup' } })
    await configure(service, 'refused', { deadLetterQueue: false })
    t.match(await ask(a, 'dlq'), { status: 409, json: { error: 'Queue refused keeps no dead letters', code: 'RGT_DEAD_LETTERS_OFF' } })
    await configure(service, 'refused', {})
    await ackOne(service, a)
    t.match(await ask(a, 'dlq'), { status: 409, json: { error: 'Message already acknowledged', code: 'RGT_MESSAGE_ACKNOWLEDGED' } })
    t.same(await deadLetters(service, 'refused'), [])
  })

  t.test('neither finds a message that is not there', async t => {
    await pushIds(service, 'there', ['a'])
    const { partitionId } = await takeOne(service, 'there')
    for (const what of ['retry', 'dlq'] as const) {
      for (const address of [{ partitionId, transactionId: 'b' }, { partitionId: 'x', transactionId: 'a' }, { partitionId: '00000000-ffff-8000-8000-000000000000', transactionId: 'a' },
        { partitionId, transactionId: '\0' }, { partitionId, transactionId: 'x'.repeat(1000) }]) {
        t.match(await ask(address, what), UNKNOWN, JSON.stringify(address).slice(0, 100))
      }
    }
  })
})
