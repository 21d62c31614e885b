import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { ackBatch, configure, pushIds, take, takeOne } from '../routes/consumer.ts'
import { bury, buryNext } from '../routes/dead-letters.ts'
import { startService } from '../support.ts'
import type { Example } from './examples.ts'
import { Fields } from './fields.ts'
import { isDescribed, mutantsOf } from './mutants.ts'
import { startDescribed } from './service.ts'

t.test('what is answered about queues, groups, dead letters and traces has every field that is described, and no other', async t => {
  const described = await startDescribed(t)
  const { databaseUrl } = described
  const fields = new Fields()
  const ask = fields.asking(described)
  // Of producers that are nobody in particular, and with a key that only it has.
  const clients = await startService(t, { databaseUrl, encryptionKey: randomBytes(32).toString('hex') })

  await t.test('queues and partitions', async t => {
    await clients.call('POST', '/api/v1/configure', { queue: 'orders', namespace: 'shop', task: 'bill', options: { priority: -1 } })
    await configure(clients, 'unused', {})
    await pushIds(clients, 'orders', ['1', '2', '3', '4'], 'a')
    await pushIds(clients, 'orders', ['1', '2'], 'b')
    const [first, second] = await take(clients, 'orders/partition/a?batch=3')
    if (first === undefined || second === undefined) throw new Error('nothing was delivered')
    await ackBatch(clients, [{ message: first }, { message: second, status: 'dlq', error: 'poison' }])
    for (const operation of ['listQueueStatus', 'listQueues', 'listPartitions', 'listNamespaces', 'listTasks', 'getOverview']) await ask(200, operation)
    const filter = { namespace: 'shop', task: 'bill', search: 'ORD', limit: 'all', offset: '-3' }
    t.equal((await ask(200, 'listQueues', { query: filter })).total, 1)
    t.equal((await ask(200, 'listPartitions', { query: { queue: 'orders', search: 'B' } })).total, 1)
    for (const operation of ['getQueueStatus', 'getQueue']) {
      await ask(200, operation, { params: { queue: 'orders' }, query: { search: 'a' } })
      await ask(200, operation, { params: { queue: 'unused' } })
      await ask(404, operation, { params: { queue: 'nothing' } })
    }
    for (const existed of [true, false]) t.match(await ask(200, 'deletePartition', { params: { queue: 'unused', partition: 'Default' } }), { existed })
  })

  await t.test('consumer groups', async t => {
    await ask(200, 'getGroup', { params: { group: 'nobody' } })
    await take(clients, 'orders/partition/b?consumerGroup=reader')
    await take(clients, 'orders?consumerGroup=fresh&subscriptionMode=new')
    const message = await takeOne(clients, 'orders/partition/b?consumerGroup=timed&subscriptionFrom=2020-01-01')
    await ackBatch(clients, [{ message }], 'timed')
    await ask(200, 'listGroups')
    t.same(await ask(200, 'listLaggingPartitions'), [])
    await ask(200, 'listLaggingPartitions', { query: { minLagSeconds: ' -1 ', limit: '10' } })
    for (const group of ['reader', 'timed']) await ask(200, 'getGroup', { params: { group } })
    await ask(200, 'subscribeGroup', { params: { group: 'timed' }, body: { subscriptionTimestamp: '2020-02-02' } })
    const params = { group: 'reader', queue: 'orders' }
    const inPartition = { ...params, partition: 'a' }
    for (const body of [{ toEnd: true, timestamp: 5 }, { toStart: true }, { timestamp: '2100-01-01T00:00:00+01:00' }, { timestamp: '2020-01-01' }]) {
      await ask(200, 'seekGroup', { params, body })
      await ask(200, 'seekGroupInPartition', { params: inPartition, body })
    }
    for (const body of [undefined, '[]', {}]) t.equal((await ask(200, 'seekGroupInPartition', { params: inPartition, body })).updated, true)
    t.equal((await ask(200, 'seekGroupInPartition', { params: { ...inPartition, group: 'nobody' } })).updated, false)
    await ask(404, 'seekGroupInPartition', { params: { ...inPartition, partition: 'nothing' } })
    t.equal((await ask(200, 'deleteGroup', { params: { group: 'fresh' }, query: { deleteMetadata: 'false' } })).deletedPartitions, 3)
    await ask(200, 'deleteGroupOfQueue', { params: { group: 'fresh', queue: 'orders' } })
  })

  await t.test('dead letters', async t => {
    await bury(clients, 'dead', ['1', '2', '3', '4'], { group: 'g' })
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    await described.call('push', { body: { items: [{ queue: 'dead', transactionId: '5', payload: 5, traceId: randomUUID(), traceparent, tracestate: 'a=b' }] } })
    await buryNext(clients, 'dead', 1, { group: 'g' })
    await configure(clients, 'secret', { encryptionEnabled: true })
    await bury(clients, 'secret', ['1'])
    const filter = { queue: 'dead', partition: 'Default', consumerGroup: 'g', from: '2020-01-01', to: '2100-01-01', error: 'POI' }
    const { messages } = await ask(200, 'listDeadLetters', { query: filter })
    const [secret] = (await ask(200, 'listDeadLetters', { query: { queue: 'secret', limit: '1' } })).messages
    t.equal(secret.data, null)
    const [first, second, third, fourth, fifth] = messages.map(({ deadLetterId }: any) => deadLetterId)
    for (const deadLetterId of [first, second, secret.deadLetterId]) await ask(200, 'getDeadLetter', { params: { deadLetterId } })
    t.match(await ask(200, 'redriveDeadLetters', { body: { ids: [first], queue: null, limit: 1 } }), { redriven: 1 })
    t.match(await ask(200, 'redriveDeadLetter', { params: { deadLetterId: second } }), { redriven: 1, remaining: 0 })
    t.match(await ask(200, 'purgeDeadLetters', { body: { ids: [third], queue: '', partition: null, consumerGroup: 'g' } }), { purged: 1 })
    t.match(await ask(200, 'purgeDeadLetter', { params: { deadLetterId: fourth } }), { purged: 1 })
    for (const deadLetterId of ['0', 'x', fourth]) {
      for (const operation of ['getDeadLetter', 'redriveDeadLetter', 'purgeDeadLetter']) await ask(404, operation, { params: { deadLetterId } })
    }
    const { partitionId, transactionId } = messages.find(({ deadLetterId }: any) => deadLetterId === fifth)
    t.match(await ask(200, 'retryMessage', { params: { partitionId, transactionId } }), { redriven: 1, madeAvailable: [] })
  })

  await t.test('messages that are to be dead letters, or are not', async t => {
    await clients.call('POST', '/api/v1/configure', { queue: 'kept', options: { deadLetterQueue: false, retryDelay: 3_600_000 } })
    await pushIds(clients, 'kept', ['1'])
    const kept = await takeOne(clients, 'kept?consumerGroup=w')
    await ackBatch(clients, [{ message: kept, status: 'failed' }], 'w')
    const ofKept = { partitionId: kept.partitionId, transactionId: '1' }
    t.same((await ask(200, 'retryMessage', { params: ofKept })).madeAvailable, ['w'])
    await ask(404, 'retryMessage', { params: { ...ofKept, partitionId: 'x' } })
    await ask(409, 'moveMessageToDeadLetters', { params: ofKept, body: {} })
    await ask(404, 'moveMessageToDeadLetters', { params: { ...ofKept, transactionId: 'nothing' } })

    await pushIds(clients, 'moved', ['1', '2'])
    const [one, two] = await take(clients, 'moved?consumerGroup=h&batch=2')
    if (one === undefined || two === undefined) throw new Error('nothing was delivered')
    const params = { partitionId: one.partitionId, transactionId: '1' }
    await ask(404, 'moveMessageToDeadLetters', { params, body: { consumerGroup: 'nobody' } })
    t.same((await ask(200, 'moveMessageToDeadLetters', { params, body: { consumerGroup: 'h', error: 5 } })).consumerGroups, ['h'])
    t.same((await ask(200, 'moveMessageToDeadLetters', { params })).consumerGroups, [])
    await ackBatch(clients, [{ message: two }], 'h')
    t.equal((await ask(409, 'moveMessageToDeadLetters', { params: { ...params, transactionId: '2' } })).code, 'RGT_MESSAGE_ACKNOWLEDGED')
  })

  await t.test('traces', async t => {
    await pushIds(clients, 'traced', ['1'])
    const { partitionId, transactionId } = await takeOne(clients, 'traced')
    const trace = { partitionId, transactionId, data: null }
    await ask(201, 'addTrace', { body: { ...trace, eventType: 'step', consumerGroup: 'g', workerId: 'w', traceNames: ['flow', 'flow/2', 5] } })
    await ask(201, 'addTrace', { body: { ...trace, eventType: 5, consumerGroup: null, workerId: '', traceNames: 'flow' } })
    await ask(404, 'addTrace', { body: { ...trace, transactionId: 'x'.repeat(300) } })
    t.equal((await ask(200, 'listTraceNames', { query: { search: 'FLOW' } })).total, 2)
    t.equal((await ask(200, 'listTracesByName', { params: { traceName: 'flow' }, query: { from: '2020-01-01', to: '2100-01-01', limit: '1' } })).total, 2)
    t.equal((await ask(200, 'listTracesOfMessage', { params: { partitionId, transactionId } })).total, 2)
    t.equal((await ask(200, 'listTracesOfMessage', { params: { partitionId: 'x', transactionId: 'a\0b' } })).total, 0)
  })

  t.same([...described.wrong], [])
  t.same(fields.unseen, [])

  await t.test('bodies that have several forms are refused where they are not described, and taken where they are', async t => {
    const params = { group: 'nobody', queue: 'orders', partition: 'a' }
    const everything = { toEnd: true, toStart: true, timestamp: '2020-01-01' }
    const seeks = [everything, { ...everything, toEnd: false }, { ...everything, toEnd: false, toStart: false }, { toEnd: false }, { timestamp: '2020-01-01' }, {}, []]
    const selections = [{ ids: ['1'] }, { queue: 'nothing' }, { ids: [], queue: 'nothing' }, { ids: null, queue: null }]
    const trace = { partitionId: 'x', transactionId: 'x', data: 1 }
    const names = ['flow', ['flow', 5, ''], Array(100).fill('flow'), Array(101).fill('flow'), Array(101).fill(''), [['flow']], 'a\0b', ['a\0b']]
    const forms: Record<string, Example[]> = {
      seekGroup: seeks.map(body => ({ params, body })),
      seekGroupInPartition: seeks.map(body => ({ params, body })),
      redriveDeadLetters: selections.map(body => ({ body }))
    }
    const wrong: string[] = []
    const counts = { taken: 0, refused: 0 }
    const tryOut = async (operationId: string, example: Example): Promise<void> => {
      const { status, text } = await described.call(operationId, example)
      const isTaken = status !== 400
      counts[isTaken ? 'taken' : 'refused']++
      if (isTaken !== isDescribed(described.contract, described.operation(operationId), example)) wrong.push(`${operationId} ${JSON.stringify(example.body)}: ${status} ${text}`)
    }
    for (const traceNames of names) await tryOut('addTrace', { body: { ...trace, traceNames } })
    for (const [operationId, examples] of Object.entries(forms)) {
      // Many forms come out of several; other tests change what is not in the body.
      const bodies = new Map<string, Example>()
      for (const example of examples) {
        for (const { body } of [example, ...mutantsOf(described.operation(operationId), example)]) bodies.set(JSON.stringify(body), { ...example, body })
      }
      for (const form of bodies.values()) await tryOut(operationId, form)
    }
    t.same(wrong, [])
    t.ok(counts.taken > 100 && counts.refused > 100, JSON.stringify(counts))
  })
})
