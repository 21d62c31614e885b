import t from 'tap'
import { hashId } from '../../services/log/hash.ts'
import { startService, until } from '../support.ts'
import { QUEUE, faultsOf, pushIds, readAll, transactIds } from './ids.ts'
import type { Pushed } from './ids.ts'
import { configure, eachAtOnce, numbers, pick, pop, startPair } from './support.ts'

// Found by search: units that differ only in their highest bit leave half of the hash's state alone.
const [ONE = '', OTHER = ''] = ['100011011110101010011110001111', '011001011110100010010010001101']
  .map(bits => [...bits].map(bit => String.fromCharCode(bit === '1' ? 0x8061 : 0x61)).join(''))

t.test('an id that comes again is answered with the first message and not stored, wherever it comes from', async t => {
  const pair = await startPair(t)
  const [x, y, again] = await pushIds(pair.first, ['x', 'y', 'x'])
  t.match([x, y, again].map(answer => answer?.status), ['queued', 'queued', 'duplicate'], 'in the same batch')
  t.equal(again?.message_id, x?.message_id)
  for (const [service, where] of [[pair.first, 'in another batch'], [pair.second, 'on another instance']] as const) {
    const answers = await pushIds(service, ['y', `new to ${where}`, 'x'])
    t.match(answers.map(answer => answer.status), ['duplicate', 'queued', 'duplicate'], where)
    t.strictSame([answers[0]?.message_id, answers[2]?.message_id], [y?.message_id, x?.message_id], 'with the id of the first')
  }
  await pair.first.close()
  const restarted = await startService(t, { databaseUrl: pair.first.databaseUrl, safetyNetMs: 0 })
  t.match(await pushIds(restarted, ['x', 'z', 'y']), [{ status: 'duplicate', message_id: x?.message_id }, { status: 'queued' }, { status: 'duplicate', message_id: y?.message_id }], 'after a restart')
  t.match(await transactIds(pair.second, ['z', 'x']), [{ status: 'duplicate' }, { status: 'duplicate', message_id: x?.message_id }], 'in a transaction')
  t.match(await pushIds(restarted, ['x'], 'other'), [{ status: 'queued' }], 'but another partition knows nothing of it')
  t.strictSame(await readAll(restarted), ['x', 'y', 'new to in another batch', 'new to on another instance', 'z', 'x'], 'and everything else is stored')
})

t.test('of many clients that push the same ids at once through two instances exactly one stores each', async t => {
  const pair = await startPair(t)
  const answers: Pushed[] = []
  const own = 40
  await Promise.all(numbers(16).map(async client => {
    const service = pick(pair.both, client)
    for (let round = 0; round < own; round++) {
      // Overlapping stretches of shared ids in different orders, among messages of this client alone.
      const shared = numbers(4).map(i => `shared-${round + (i + client) % 6}`)
      answers.push(...await pushIds(service, [`${client}-${round}-a`, ...shared, `${client}-${round}-b`]))
    }
  }))
  t.strictSame(faultsOf(answers), [])
  const stored = await readAll(pair.second)
  t.equal(stored.length, new Set(answers.map(answer => answer.transaction_id)).size, 'as many messages as ids')
  t.equal(new Set(stored).size, stored.length, 'each once')
})

t.test('of pushes and transactions with the same ids exactly one stores each, also among ids known before', async t => {
  const pair = await startPair(t)
  await pushIds(pair.first, numbers(30).map(i => `known-${i}`))
  const answers: Pushed[] = []
  await eachAtOnce(numbers(250), 3, async round => {
    // The known id makes a call ask the database before it writes; the new one must not slip in meanwhile.
    const ids = [`known-${round % 30}`, `new-${round}`]
    const [service, other] = [pick(pair.both, round), pick(pair.both, round + 1)]
    const results = await Promise.all([
      transactIds(service, ids), pushIds(service, [`new-${round}`]), transactIds(service, [`alone-${round}`, ...ids]), pushIds(service, ids),
      ...round % 4 === 0 ? [transactIds(other, ids)] : []
    ])
    answers.push(...results.flat())
  })
  t.strictSame(faultsOf(answers.filter(answer => !answer.transaction_id.startsWith('known'))), [])
  t.strictSame(answers.filter(answer => answer.transaction_id.startsWith('known') && answer.status !== 'duplicate'), [])
  const stored = await readAll(pair.first)
  t.equal(new Set(stored).size, stored.length, 'each once')
})

t.test('ids with equal hashes are different messages, each deduplicated by itself', async t => {
  const pair = await startPair(t)
  t.equal(hashId(ONE), hashId(OTHER), 'the hashes are equal')
  t.not(ONE, OTHER)
  const [first, second, third, fourth] = await pushIds(pair.first, [ONE, OTHER, ONE, OTHER])
  t.match([first, second, third, fourth].map(answer => answer?.status), ['queued', 'queued', 'duplicate', 'duplicate'], 'in one batch')
  t.strictSame([third?.message_id, fourth?.message_id], [first?.message_id, second?.message_id])
  await pushIds(pair.second, [ONE], 'p')
  t.match(await pushIds(pair.first, [OTHER], 'p'), [{ status: 'queued' }], 'on another instance')
  for (const service of pair.both) {
    t.match((await pushIds(service, [OTHER, ONE, 'more'], 'p')).slice(0, 2).map(answer => answer.status), ['duplicate', 'duplicate'])
  }
  t.strictSame((await readAll(pair.first)).filter(id => id !== 'more'), [ONE, OTHER, ONE, OTHER])
})

t.test('an acknowledgement of one of two ids with equal hashes is of that one', async t => {
  const pair = await startPair(t)
  await pushIds(pair.first, [ONE, OTHER])
  const [, message] = await pop(pair.first, `${QUEUE}?batch=2`)
  // Through the instance that has to look the position up by hash.
  const answer = await pair.second.call('POST', '/api/v1/ack', { transactionId: message?.transactionId, partitionId: message?.partitionId, leaseId: message?.leaseId, status: 'completed' })
  t.match(answer.json, [{ success: true }])
  const [cursor] = await pair.sql`select committed::int, acked::text from regent.cursors`
  t.same(cursor, { committed: 0, acked: '{[2,3)}' })
})

t.test('an id is accepted again once its window has passed by the database\'s clock, by exactly one of many', async t => {
  const pair = await startPair(t)
  await configure(pair.first, QUEUE, { dedupWindowSeconds: 1 })
  await pushIds(pair.first, ['x'])
  t.match(await pushIds(pair.second, ['x', 'x']), [{ status: 'duplicate' }, { status: 'duplicate' }])
  for (let life = 2; life <= 4; life++) {
    const answers: Pushed[] = []
    await until(async () => {
      answers.push(...(await Promise.all(numbers(6).map(async client => await pushIds(pick(pair.both, client), ['x'])))).flat())
      return answers.some(answer => answer.status === 'queued')
    })
    t.equal(answers.filter(answer => answer.status === 'queued').length, 1, `life ${life}: stored once`)
    t.equal(new Set(answers.map(answer => answer.message_id)).size, 2, 'until then it was a duplicate of the one before')
  }
  const [stored] = await pair.sql`
    select count(*)::int as messages, min(age) >= interval '1 second' as apart
      from (select created_at - lag(created_at) over (order by first) as age from regent.segments) as s`
  t.same(stored, { messages: 4, apart: true }, 'never before the window has passed')
})

t.test('without a window every message is stored', async t => {
  const pair = await startPair(t)
  await configure(pair.first, QUEUE, { dedupWindowSeconds: 0 })
  t.match(await pushIds(pair.first, ['x', 'x']), [{ status: 'queued' }, { status: 'queued' }])
  t.match(await pushIds(pair.second, ['x']), [{ status: 'queued' }])
  t.strictSame(await readAll(pair.second), ['x', 'x', 'x'])
})

t.test('a window that is configured anew holds for what was stored before, on every instance', async t => {
  const pair = await startPair(t)
  await configure(pair.first, QUEUE, { dedupWindowSeconds: 0 })
  await pushIds(pair.first, ['x'])
  await pushIds(pair.second, ['x'])
  await configure(pair.first, QUEUE, { dedupWindowSeconds: 600 })
  t.match(await pushIds(pair.first, ['x']), [{ status: 'duplicate' }])
  // The other one hears of it by a notification.
  await until(async () => (await pushIds(pair.second, ['x']))[0]?.status === 'duplicate')
})
