import t from 'tap'
import { connect, startService, until } from '../support.ts'
import { ackOne, configure, pushIds, take, takeIds, takeOne } from './consumer.ts'
import { bury, buryNext, deadLetters } from './dead-letters.ts'

const TRACE = '0188b5a0-0000-7000-8000-000000000001'

t.test('dead letters', async t => {
  const service = await startService(t, { safetyNetMs: 0 })
  const sql = connect(t, service.databaseUrl)

  t.test('are listed with the fields of the contract and the payload as it went in', async t => {
    await service.call('POST', '/api/v1/push',
      `{"items":[{"queue":"fields","partition":"p","transactionId":"a \\"b","traceId":"${TRACE}","payload":{"n":9007199254740993,"f":1.10,"__proto__":1,"n":",\\"data\\":"}}]}`)
    await buryNext(service, 'fields', 1, { partition: 'p', group: 'g', error: 'bad "thing"' })
    const answer = await service.call('GET', '/api/v1/dlq?queue=fields')
    t.equal(answer.status, 200)
    t.match(answer.headers.get('content-type'), /^application\/json/)
    const [message] = answer.json.messages
    t.strictSame(Object.keys(message).sort(), ['consumerGroup', 'createdAt', 'data', 'deadLetterId', 'errorMessage', 'failedAt', 'id', 'partition',
      'partitionId', 'producerSub', 'queue', 'retryCount', 'traceId', 'transactionId'])
    t.match(message, { transactionId: 'a "b', traceId: TRACE, producerSub: null, queue: 'fields', partition: 'p', consumerGroup: 'g', errorMessage: 'bad "thing"', retryCount: 0 })
    t.match(message.deadLetterId, /^\d+$/)
    for (const time of [message.createdAt, message.failedAt]) t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    t.ok(answer.text.includes('"data":{"n":9007199254740993,"f":1.10,"__proto__":1,"n":",\\"data\\":"}}'), answer.text)
    t.same([answer.json.pagination, answer.json.total], [{ limit: 100, offset: 0 }, 1])
    const one = await service.call('GET', `/api/v1/dlq/${message.deadLetterId}`)
    t.equal(one.status, 200)
    t.ok(answer.text.includes(one.text), 'one is shown as it is listed')
    const delivered = (await take(service, 'fields?consumerGroup=other'))[0]
    t.match(message, { id: delivered?.id, partitionId: delivered?.partitionId }, 'ids are those of the message')
  })

  t.test('are paged and counted, the newest failure first', async t => {
    await bury(service, 'paged', ['a', 'b', 'c', 'd', 'e'])
    const page = async (query: string): Promise<[string[], number, object]> => {
      const { json } = await service.call('GET', `/api/v1/dlq?queue=paged&${query}`)
      return [json.messages.map((message: any) => message.transactionId), json.total, json.pagination]
    }
    t.same(await page(''), [['e', 'd', 'c', 'b', 'a'], 5, { limit: 100, offset: 0 }])
    t.same(await page('limit=2'), [['e', 'd'], 5, { limit: 2, offset: 0 }])
    t.same(await page('limit=2&offset=2'), [['c', 'b'], 5, { limit: 2, offset: 2 }])
    t.same(await page('limit=2&offset=4'), [['a'], 5, { limit: 2, offset: 4 }])
    t.same(await page('offset=5'), [[], 5, { limit: 100, offset: 5 }], 'beyond the end there is still a total')
    t.same((await service.call('GET', '/api/v1/dlq?queue=none')).json, { messages: [], pagination: { limit: 100, offset: 0 }, total: 0 })
  })

  t.test('are filtered by partition, group, error and time of failure', async t => {
    await bury(service, 'filtered', ['a'], { partition: 'x', group: 'g', error: 'Timeout after 3 s' })
    await bury(service, 'filtered', ['b'], { partition: 'y', group: 'g', error: '100% broken' })
    await buryNext(service, 'filtered', 1, { partition: 'x', group: 'h', error: 'other' })
    await sql`update regent.dead_letters set failed_at = '2020-02-02T02:02:02Z' where queue = 'filtered' and consumer_group = 'h'`
    t.teardown(async () => { await sql`delete from regent.dead_letters where queue = 'filtered'` })
    const ids = async (query: string): Promise<string[]> => (await deadLetters(service, 'filtered', query)).map(message => message.transactionId + message.consumerGroup).sort()
    t.same(await ids('partition=x'), ['ag', 'ah'])
    t.same(await ids('consumerGroup=g'), ['ag', 'bg'])
    t.same(await ids('partition=x&consumerGroup=g'), ['ag'])
    t.same(await ids('error=timeout'), ['ag'])
    t.same(await ids('error=0%25%20b'), ['bg'], 'the text is no pattern')
    t.same(await ids('to=2020-02-02T02:02:02Z'), ['ah'])
    t.same(await ids('from=2020-02-02T02:02:02Z&to=2020-02-02T02:02:02Z'), ['ah'], 'bounds are inclusive')
    t.same(await ids('from=2020-02-02T02:02:02.001Z'), ['ag', 'bg'])
    for (const [query, field] of [['from=yesterday', 'from'], ['to=2020-02-31', 'to'], ['queue=%00', 'queue'], [`error=${'x'.repeat(256)}`, 'error']] as const) {
      t.match(await service.call('GET', `/api/v1/dlq?${query}`), { status: 400, json: { code: 'RGT_FIELD_INVALID', field } })
    }
  })

  t.test('go back to the end of their partition as they were', async t => {
    await service.call('POST', '/api/v1/push', `{"items":[{"queue":"back","transactionId":"a","traceId":"${TRACE}","payload":9007199254740993}]}`)
    await buryNext(service, 'back', 1)
    await pushIds(service, 'back', ['b'])
    const [dead] = await deadLetters(service, 'back')
    t.same((await service.call('POST', `/api/v1/dlq/${dead.deadLetterId}/redrive`)).json, { success: true, redriven: 1, remaining: 0 })
    const answer = await service.pop('back?batch=10')
    t.match(answer.json.messages, [{ transactionId: 'b' }, { transactionId: 'a', traceId: TRACE, retryCount: 0, deliveryCount: 1 }])
    t.ok(answer.text.includes('"data":9007199254740993}'))
    t.not(answer.json.messages[1].id, dead.id, 'it is a new message')
    t.same(await deadLetters(service, 'back'), [])
    t.match((await service.push([{ queue: 'back', transactionId: 'a', payload: 1 }])).json, [{ status: 'duplicate' }], 'its id is still taken')
  })

  t.test('wake a consumer that waits, when they go back', async t => {
    await bury(service, 'woken', ['a'])
    const waiting = take(service, 'woken?wait=true&timeout=60000')
    await until(async () => (await service.call('GET', '/health')).json.load.parkedPops > 0)
    await service.call('POST', '/api/v1/dlq/redrive', { queue: 'woken' })
    t.same((await waiting).map(message => message.transactionId), ['a'])
  })

  t.test('go back for a whole queue, a group, a partition, or by their ids, in the order of their messages', async t => {
    await configure(service, 'whole', {})
    await pushIds(service, 'whole', ['a', 'b', 'c', 'd'], 'x')
    await pushIds(service, 'whole', ['e'], 'y')
    const [a, b, c, d] = await take(service, 'whole/partition/x?batch=4&consumerGroup=g')
    for (const message of [c, a, d, b]) if (message !== undefined) await ackOne(service, message, { status: 'dlq', consumerGroup: 'g' })
    await buryNext(service, 'whole', 1, { partition: 'y', group: 'h' })
    const redrive = async (body: object): Promise<object> => (await service.call('POST', '/api/v1/dlq/redrive', body)).json
    t.same(await redrive({ queue: 'whole', consumerGroup: 'none' }), { success: true, redriven: 0, remaining: 0 })
    t.same(await redrive({ queue: 'whole', partition: 'y', consumerGroup: 'g' }), { success: true, redriven: 0, remaining: 0 })
    t.same(await redrive({ queue: 'whole', consumerGroup: 'g', limit: 1 }), { success: true, redriven: 1, remaining: 3 })
    const ids = (await deadLetters(service, 'whole', 'consumerGroup=g')).filter(({ transactionId }) => transactionId !== 'c').map(({ deadLetterId }) => deadLetterId)
    t.same(await redrive({ ids: [...ids, '999999999999'] }), { success: true, redriven: 2, remaining: 0 })
    t.same(await redrive({ queue: 'whole' }), { success: true, redriven: 2, remaining: 0 })
    t.same(await takeIds(service, 'whole/partition/x?batch=10&consumerGroup=g'), ['a', 'b', 'd', 'c'])
    t.same(await takeIds(service, 'whole/partition/y?batch=10&consumerGroup=h'), ['e'])
    t.same(await redrive({ ids: [] }), { success: true, redriven: 0, remaining: 0 })
  })

  t.test('that several groups have of one message put it back once', async t => {
    await bury(service, 'groups', ['a'], { group: 'g' })
    await buryNext(service, 'groups', 1, { group: 'h' })
    t.same((await service.call('POST', '/api/v1/dlq/redrive', { queue: 'groups', limit: 1 })).json, { success: true, redriven: 2, remaining: 0 })
    t.same(await takeIds(service, 'groups?batch=10&consumerGroup=g'), ['a'])
    t.same(await takeIds(service, 'groups?batch=10&consumerGroup=h'), ['a'])
  })

  t.test('make their partition anew when it was deleted, and are gone with a deleted queue', async t => {
    await bury(service, 'remade', ['a'], { partition: 'p' })
    await sql`select regent.delete_partition_v1('remade', 'p')`
    t.match((await service.call('POST', '/api/v1/dlq/redrive', { queue: 'remade' })).json, { redriven: 1 })
    const again = await takeOne(service, 'remade/partition/p')
    t.equal(again.transactionId, 'a')
    await ackOne(service, again, { status: 'dlq' })
    const [dead] = await deadLetters(service, 'remade')
    await service.call('DELETE', '/api/v1/resources/queues/remade')
    t.same(await deadLetters(service, 'remade'), [])
    t.match(await service.call('POST', `/api/v1/dlq/${dead.deadLetterId}/redrive`), { status: 404, json: { error: 'Dead letter not found' } })
  })

  t.test('are purged by queue, group, partition, ids and limit, the oldest failures first', async t => {
    await bury(service, 'purged', ['a', 'b', 'c'], { partition: 'x' })
    await bury(service, 'purged', ['d'], { partition: 'y' })
    const purge = async (body: object): Promise<object> => (await service.call('POST', '/api/v1/dlq/purge', body)).json
    t.same(await purge({ queue: 'purged', consumerGroup: 'g' }), { success: true, purged: 0, remaining: 0 })
    t.same(await purge({ queue: 'purged', limit: 1 }), { success: true, purged: 1, remaining: 3 })
    t.same(await purge({ queue: 'purged', partition: 'y' }), { success: true, purged: 1, remaining: 0 })
    const [c, b] = await deadLetters(service, 'purged')
    t.same([c.transactionId, b.transactionId], ['c', 'b'])
    t.same(await purge({ ids: [c.deadLetterId] }), { success: true, purged: 1, remaining: 0 })
    t.same((await service.call('DELETE', `/api/v1/dlq/${b.deadLetterId}`)).json, { success: true, purged: 1, remaining: 0 })
    t.same(await deadLetters(service, 'purged'), [])
    t.same(await takeIds(service, 'purged?batch=10&partitions=10'), [], 'nothing came back')
  })

  t.test('that are unknown are answered 404, and selections that name nothing 400', async t => {
    for (const id of ['999999999999', '0', 'x', '1'.repeat(30), '-1']) {
      for (const [method, path] of [['GET', ''], ['DELETE', ''], ['POST', '/redrive']] as const) {
        t.match(await service.call(method, `/api/v1/dlq/${id}${path}`), { status: 404, json: { error: 'Dead letter not found', code: 'RGT_DEAD_LETTER_UNKNOWN' } })
      }
    }
    for (const path of ['redrive', 'purge']) {
      for (const [body, field] of [[{}, 'queue'], [{ partition: 'p' }, 'queue'], [[], 'queue'], [{ queue: 5 }, 'queue'], [{ ids: 'x' }, 'ids'], [{ ids: [1] }, 'ids[0]'],
        [{ ids: ['1', 'x'] }, 'ids[1]'], [{ queue: 'q', limit: 0 }, 'limit'], [{ queue: 'q', limit: '5' }, 'limit'], [{ queue: 'q', consumerGroup: '\0' }, 'consumerGroup']] as const) {
        t.match(await service.call('POST', `/api/v1/dlq/${path}`, body), { status: 400, json: { code: 'RGT_FIELD_INVALID', field } }, JSON.stringify(body))
      }
      t.match(await service.call('POST', `/api/v1/dlq/${path}`, ''), { status: 400, json: { code: 'RGT_BODY_EMPTY' } })
    }
  })

  t.test('are expired by age in bounded steps, and kept when told so', async t => {
    await bury(service, 'aged', ['a', 'b', 'c', 'd'])
    await sql`update regent.dead_letters set failed_at = failed_at - interval '8 days' where queue = 'aged' and position < 4`
    const expire = async (days: number, limit: number): Promise<number> => (await sql<{ n: number }[]>`select regent.expire_dead_letters_v1(${days}, ${limit}) as n`)[0]?.n ?? -1
    t.equal(await expire(0, 10), 0)
    t.equal(await expire(9, 10), 0)
    t.equal(await expire(7, 2), 2)
    t.equal(await expire(7, 2), 1)
    t.equal(await expire(7, 2), 0)
    t.same((await deadLetters(service, 'aged')).map(message => message.transactionId), ['d'])
  })
})
