import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Answer } from '../support.ts'
import { ackOne, expireLeases, pushIds, take, takeOne } from './consumer.ts'
import type { Message } from './consumer.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('traces', async t => {
  const service = await startService(t, { workerId: 'worker-7' })
  const sql = connect(t, service.databaseUrl)
  const trace = async ({ partitionId, transactionId }: Pick<Message, 'partitionId' | 'transactionId'>, fields: object = {}): Promise<Answer> =>
    await service.call('POST', '/api/v1/traces', { partitionId, transactionId, data: {}, ...fields })
  const add = async (message: Message, fields: object): Promise<string> => {
    const answer = await trace(message, fields)
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.json.traceId
  }
  const of = async ({ partitionId, transactionId }: Message, query = ''): Promise<Answer> =>
    await service.call('GET', `/api/v1/traces/${partitionId}/${encodeURIComponent(transactionId)}?${query}`)
  const byName = async (name: string, query = ''): Promise<Answer> => await service.call('GET', `/api/v1/traces/by-name/${encodeURIComponent(name)}?${query}`)
  const one = async (queue: string, id = 'a'): Promise<Message> => {
    await pushIds(service, queue, [id])
    return await takeOne(service, queue)
  }

  t.test('are found by names with spaces, pluses and slashes, a plus in the path being a space', async t => {
    const message = await one('odd')
    for (const name of ['flow/one two', 'one+two']) {
      await add(message, { traceNames: [name] })
      t.equal((await byName(name)).json.total, 1, name)
    }
    t.equal((await service.call('GET', '/api/v1/traces/by-name/flow%2Fone+two?limit=5')).json.total, 1)
    t.equal((await service.call('GET', '/api/v1/traces/by-name/one+two')).json.total, 0)
  })

  t.test('are recorded and read back as they were, oldest first', async t => {
    const message = await one('recorded', 'a/b "c"')
    const { partitionId, transactionId } = message
    const answer = await service.call('POST', '/api/v1/traces',
      `{"data":{"n":9007199254740993,\n "f":1.10},"transactionId":${JSON.stringify(transactionId)},"partitionId":"${partitionId}"}`)
    t.equal(answer.status, 201)
    t.same(Object.keys(answer.json), ['success', 'traceId'])
    t.equal(answer.json.success, true)
    t.match(answer.json.traceId, UUID)
    const second = await add(message, { consumerGroup: 'g', eventType: 'step', traceNames: ['x', 'y', 'x', 5, ''], workerId: 'w', data: null })
    const list = await of(message)
    t.equal(list.status, 200)
    t.match(list.headers.get('content-type'), /^application\/json/)
    t.ok(list.text.includes('"data":{"n":9007199254740993,\n "f":1.10}'), list.text)
    const { traces } = list.json
    t.same(Object.keys(traces[0]).sort(), ['consumer_group', 'created_at', 'data', 'event_type', 'id', 'trace_names', 'worker_id'])
    t.match(traces, [
      { id: answer.json.traceId, event_type: 'info', consumer_group: '__QUEUE_MODE__', worker_id: 'worker-7', created_at: TIME, trace_names: [] },
      { id: second, event_type: 'step', consumer_group: 'g', worker_id: 'w', created_at: TIME, trace_names: ['x', 'y'], data: null }
    ])
    t.same(traces[0].trace_names, [])
    t.equal(list.json.total, 2)
    t.same((await of(message, 'limit=1&offset=1')).json.traces.map((found: any) => found.id), [second])
    t.match((await of(message, 'limit=1&offset=2')).json, { traces: [], total: 2, pagination: { limit: 1, offset: 2 } })
  })

  t.test('take one name as a text, and none for what is no text', async t => {
    const message = await one('names')
    for (const [traceNames, names] of [['one', ['one']], [null, []], [5, []], [{ a: 1 }, []], [[], []], [['two'], ['two']]] as const) {
      const id = await add(message, { traceNames })
      t.same((await of(message)).json.traces.find((found: any) => found.id === id).trace_names, names)
    }
    for (const field of ['consumerGroup', 'eventType']) t.equal((await trace(message, { [field]: null })).status, 201, `${field} may be null`)
  })

  t.test('are refused without what they need', async t => {
    const { partitionId, transactionId } = await one('needed')
    for (const body of [{}, [], { transactionId, data: 1 }, { partitionId, data: 1 }, { partitionId, transactionId: 5, data: 1 }, { partitionId: null, transactionId, data: 1 }]) {
      t.match(await service.call('POST', '/api/v1/traces', body), { status: 400, json: { error: 'transactionId and partitionId are required', code: 'RGT_FIELD_INVALID' } })
    }
    t.match(await service.call('POST', '/api/v1/traces', { partitionId, transactionId }), { status: 400, json: { error: 'data is required', field: 'data' } })
    for (const [fields, field] of [[{ eventType: 'x'.repeat(101) }, 'eventType'], [{ consumerGroup: '\0' }, 'consumerGroup'], [{ traceNames: ['a', 'x'.repeat(256)] }, 'traceNames[1]'],
      [{ traceNames: Array.from({ length: 101 }, (_, i) => `${i}`) }, 'traceNames']] as const) {
      t.match(await trace({ partitionId, transactionId }, fields), { status: 400, json: { code: 'RGT_FIELD_INVALID', field } })
    }
    t.match(await service.call('POST', '/api/v1/traces', '{'), { status: 400, json: { code: 'RGT_BODY_NOT_JSON' } })
  })

  t.test('of a message that is not there are refused, and it has none', async t => {
    const { partitionId, transactionId } = await one('unknown')
    for (const address of [{ partitionId, transactionId: 'b' }, { partitionId: 'no-uuid', transactionId }, { partitionId: '00000000-ffff-8000-8000-000000000000', transactionId },
      { partitionId, transactionId: '\0' }]) {
      t.match(await trace(address), { status: 404, json: { success: false, error: 'Message not found', code: 'RGT_MESSAGE_UNKNOWN' } })
      t.match((await of(address as Message)).json, { traces: [], total: 0 })
    }
  })

  t.test('are found wherever the message stands', async t => {
    await pushIds(service, 'stands', ['a'])
    await pushIds(service, 'stands', ['b', 'c'])
    const [a, b, c] = await take(service, 'stands?batch=3&consumerGroup=g')
    if (a === undefined || b === undefined || c === undefined) throw new Error('too few')
    for (const message of [a, b, c]) await add(message, { consumerGroup: 'g', traceNames: 'leased' })
    await ackOne(service, a)
    await ackOne(service, b)
    await expireLeases(sql, 'stands')
    await add(a, { consumerGroup: 'g', traceNames: 'passed' })
    await add(c, { consumerGroup: 'nobody', traceNames: 'ahead' })
    t.same((await of(a)).json.traces.map((found: any) => found.trace_names), [['leased'], ['passed']])
    t.same((await of(c)).json.traces.map((found: any) => found.trace_names), [['leased'], ['ahead']])
  })

  t.test('are told by name across messages, with the payload while there is one', async t => {
    await service.call('POST', '/api/v1/push', '{"items":[{"queue":"story","partition":"p","transactionId":"a","payload":9007199254740993},{"queue":"tale","transactionId":"b","payload":"x"}]}')
    const [a] = await take(service, 'story')
    const [b] = await take(service, 'tale')
    if (a === undefined || b === undefined) throw new Error('too few')
    const ids = [await add(a, { traceNames: ['a story/1', 'other'] }), await add(b, { traceNames: 'a story/1' }), await add(a, { traceNames: 'a story/1' })]
    const { text, json } = await byName('a story/1')
    t.same(json.traces.map((found: any) => found.id), ids)
    t.same(Object.keys(json.traces[0]).sort(), ['consumer_group', 'created_at', 'data', 'event_type', 'id', 'message_payload', 'partition_id', 'partition_name',
      'queue_name', 'trace_names', 'transaction_id', 'worker_id'])
    t.match(json.traces[0], { transaction_id: 'a', partition_id: a.partitionId, queue_name: 'story', partition_name: 'p', trace_names: ['a story/1', 'other'] })
    t.ok(text.includes('"message_payload":9007199254740993}'))
    t.equal(json.traces[1].message_payload, 'x')
    t.same([json.total, json.pagination], [3, { limit: 100, offset: 0 }])
    const page = (await byName('a story/1', 'limit=1&offset=1')).json
    t.same([page.traces.map((found: any) => found.id), page.total, page.pagination], [[ids[1]], 3, { limit: 1, offset: 1 }])
    t.match((await byName('a story/1', 'offset=3')).json, { traces: [], total: 3 })
    t.same((await byName('nothing')).json, { traces: [], total: 0, pagination: { limit: 100, offset: 0 } })
    await sql`delete from regent.segments where partition_id = (select partition_id from regent.traces where id = ${ids[0] ?? ''})`
    t.same((await byName('a story/1')).json.traces.map((found: any) => found.message_payload), [null, 'x', null])
  })

  t.test('are told by name from one time to another', async t => {
    const message = await one('times')
    const ids: string[] = []
    for (const day of ['01', '02', '03']) {
      const id = await add(message, { traceNames: 'timed' })
      ids.push(id)
      for (const table of ['traces', 'trace_names']) {
        await sql.unsafe(`update regent.${table} set created_at = '2020-02-${day}T00:00:00Z' where ${table === 'traces' ? 'id' : 'trace_id'} = '${id}'`)
      }
    }
    const found = async (query: string): Promise<string[]> => (await byName('timed', query)).json.traces.map(({ id }: { id: string }) => id)
    t.same(await found('from=2020-02-02T00:00:00Z'), ids.slice(1))
    t.same(await found('to=2020-02-02T00:00:00Z'), ids.slice(0, 2))
    t.same(await found('from=2020-02-02&to=2020-02-02'), [ids[1]])
    t.match(await byName('timed', 'from=monday'), { status: 400, json: { field: 'from' } })
    const expire = async (days: number, limit: number): Promise<number> => (await sql<{ n: number }[]>`select regent.expire_traces_v1(${days}, ${limit}) as n`)[0]?.n ?? -1
    t.equal(await expire(0, 10), 0, 'no age is too old')
    t.equal(await expire(7, 2), 2)
    t.same(await found(''), [ids[2]], 'the oldest go first')
    t.equal(await expire(7, 2), 1)
    t.match((await byName('timed')).json, { traces: [], total: 0 })
  })

  t.test('have names that are counted, searched and paged, the one used last first', async t => {
    const [x, y] = [await one('counted-x'), await one('counted-y')]
    await add(x, { traceNames: ['count Order', 'count invoice'] })
    await add(x, { traceNames: 'count Order' })
    await add(y, { traceNames: ['count Order', 'count_other'] })
    const names = async (query: string): Promise<any> => (await service.call('GET', `/api/v1/traces/names?${query}`)).json
    const all = await names('search=COUNT')
    t.match(all.trace_names, [
      { trace_name: 'count Order', trace_count: 3, message_count: 2, last_seen: TIME },
      { trace_name: 'count_other', trace_count: 1, message_count: 1, last_seen: TIME },
      { trace_name: 'count invoice', trace_count: 1, message_count: 1, last_seen: TIME }
    ])
    t.same([all.total, all.pagination], [3, { limit: 50, offset: 0 }])
    t.same((await names('search=count_')).trace_names.map((name: any) => name.trace_name), ['count_other'], 'the text is no pattern')
    const page = await names('search=count&limit=1&offset=2')
    t.same([page.trace_names.map((name: any) => name.trace_name), page.total], [['count invoice'], 3])
    t.same(await names('search=count&offset=3'), { trace_names: [], total: 3, pagination: { limit: 50, offset: 3 } })
    t.ok((await names('')).total > 3)
  })

  t.test('are deleted with the messages of a stretch of positions', async t => {
    await pushIds(service, 'gone', ['a', 'b', 'c'])
    const messages = await take(service, 'gone?batch=3')
    for (const message of messages) await add(message, { traceNames: ['gone', message.transactionId] })
    await sql`select regent.delete_traces(p.id, 1, 2) from regent.partitions p join regent.queues q on q.id = p.queue_id where q.name = 'gone'`
    t.same((await byName('gone')).json.traces.map((found: any) => found.transaction_id), ['c'])
    t.same(await Promise.all(messages.map(async message => (await of(message)).json.total)), [0, 0, 1])
    t.match((await service.call('GET', '/api/v1/traces/names?search=a')).json.trace_names.filter((name: any) => name.trace_name === 'a'), [], 'their names are free')
  })
})
