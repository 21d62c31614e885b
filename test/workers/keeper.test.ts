import { randomInt } from 'node:crypto'
import t from 'tap'
import { RegentError } from '../../services/errors.ts'
import { faultyFileSystem, makeQuickFolder, systemError } from '../buffer/support.ts'
import { until } from '../support.ts'
import { randomRun } from './random-run.ts'
import { SharedBuffer, SlowDisk } from './shared-buffer.ts'
import type { Process, Settings } from './shared-buffer.ts'

/** Whether a promise has settled once everybody else had many turns. */
async function isPending (promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  void promise.finally(() => { isSettled = true }).catch(() => {})
  for (let turn = 0; turn < 200; turn++) await new Promise(resolve => setImmediate(resolve))
  return !isSettled
}

async function joinMany (shared: SharedBuffer, count: number): Promise<[Process, ...Process[]]> {
  const [first, ...others] = await Promise.all(Array.from({ length: count }, async () => await shared.join()))
  if (first === undefined) throw new Error('nobody has joined')
  return [first, ...others]
}

t.test('a push is acknowledged when all know of it, and not before', async t => {
  const shared = await SharedBuffer.open(t)
  const [first, second, third] = await joinMany(shared, 3)
  t.ok(first.kept.isEmpty)
  second?.fromKeeper.hold(true)
  const kept = first.keep('q')
  await until(() => shared.own.holds('q') && third?.kept.holds('q') === true)
  t.ok(await isPending(kept), 'it is on the disk, and one process does not know of it')
  second?.fromKeeper.hold(false)
  await kept
  for (const { kept } of shared.members) t.strictSame([kept.holds('q'), kept.holds('other'), kept.isEmpty], [true, false, false])
})

t.test('another push to the same queue waits for the same answers', async t => {
  const shared = await SharedBuffer.open(t)
  const [first, second, third] = await joinMany(shared, 3)
  third?.fromKeeper.hold(true)
  const pushes = [first.keep('q'), second?.keep('q') ?? Promise.resolve()]
  await until(() => shared.own.figures.messages === 2)
  for (const push of pushes) t.ok(await isPending(push))
  third?.fromKeeper.hold(false)
  await Promise.all(pushes)
})

t.test('who joins knows what is held', async t => {
  await t.test('also what is only on its way to the disk', async t => {
    const disk = new SlowDisk()
    const shared = await SharedBuffer.open(t, { files: { fs: disk.fs } })
    const [first] = await joinMany(shared, 1)
    disk.hold()
    const kept = first.keep('q')
    await until(() => disk.waiting > 0)
    const late = await shared.join()
    t.ok(late.kept.holds('q'))
    t.ok(await isPending(kept))
    disk.letGo()
    await kept
  })

  await t.test('and what an earlier run has left', async t => {
    const directory = makeQuickFolder(t)
    const before = await SharedBuffer.open(t, { files: { directory } })
    await (await before.join()).keep('q', 'r')
    await before.own.files.close()
    const shared = await SharedBuffer.open(t, { files: { directory } })
    const [first] = await joinMany(shared, 1)
    t.strictSame(['q', 'r', 's'].map(queue => first.kept.holds(queue)), [true, true, false])
    t.match(first.kept.figures, { messages: 2, state: 'buffering' })
    await shared.drain()
    await until(() => first.kept.isEmpty)
    t.match(first.kept.figures, { messages: 0, state: 'empty' })
  })
})

t.test('a queue is released when its last record has been drained, and none of it is on its way to the disk', async t => {
  const disk = new SlowDisk()
  const shared = await SharedBuffer.open(t, { files: { fs: disk.fs } })
  const [first, second] = await joinMany(shared, 2)
  await first.keep('q', 'r')
  await first.keep('r')
  t.equal((await shared.drain(1)).length, 1)
  await until(() => shared.members.every(({ kept }) => !kept.holds('q')))
  t.ok(shared.members.every(({ kept }) => kept.holds('r')), 'r has another record')

  disk.hold()
  const next = second?.keep('r')
  await until(() => disk.waiting > 0)
  t.equal((await shared.drain()).length, 1)
  await until(() => first.kept.figures.oldestAgeMs === null)
  t.ok(shared.members.every(({ kept }) => kept.holds('r')), 'and now it has one on its way')
  disk.letGo()
  await next
  t.ok(shared.members.every(({ kept }) => kept.holds('r')))
  t.equal((await shared.drain()).length, 1)
  await until(() => shared.members.every(({ kept }) => kept.isEmpty && kept.figures.state === 'empty'))
})

t.test('who has gone holds up nobody', async t => {
  for (const arrives of [true, false]) {
    const shared = await SharedBuffer.open(t)
    const [first, second] = await joinMany(shared, 3)
    second?.fromKeeper.hold(true)
    const kept = first.keep('q')
    t.ok(await isPending(kept))
    second?.end(arrives)
    await kept
    await first.keep('r')
    t.equal(shared.log.of('error').length, 0)
  }
})

t.test('who does not answer is ended, and who answers late enough is not', async t => {
  const shared = await SharedBuffer.open(t, { keeper: { answerMs: 1000 } })
  const [first, second, third] = await joinMany(shared, 3)
  await first.keep('q')
  second?.fromKeeper.hold(true)
  await first.keep('r')
  t.strictSame(shared.members, [first, third])
  t.match(shared.log.of('error'), [{ fields: { queues: 1 }, message: /does not answer/ }])
  await first.keep('s')
  t.ok(third?.kept.holds('s'))
})

t.test('what it held stays held when its process has gone before it was answered', async t => {
  const disk = new SlowDisk()
  const shared = await SharedBuffer.open(t, { files: { fs: disk.fs } })
  const [first, second] = await joinMany(shared, 2)
  disk.hold()
  void first.keep('q')
  await until(() => disk.waiting > 0)
  first.end()
  await first.gone
  disk.letGo()
  await until(() => shared.own.holds('q'))
  t.ok(second?.kept.holds('q'))
  t.match(await shared.drain(), [/q/])
  await until(() => second?.kept.isEmpty === true)
})

t.test('a push that is refused is refused with the same words, and holds nothing', async t => {
  async function refusals (files: NonNullable<Settings['files']>): Promise<unknown[]> {
    const shared = await SharedBuffer.open(t, { files })
    const [first, second] = await joinMany(shared, 2)
    const record = { payload: Buffer.alloc(3000), messages: 1 }
    const words: unknown[] = []
    // The first of them fills a small one.
    for (const [buffer, queue] of [[shared.own, 'other'], [first.kept, 'q'], [shared.own, 'q']] as const) {
      const error: unknown = await buffer.append({ ...record, queues: [queue] }).then(() => null, (error: unknown) => error)
      words.push(error instanceof RegentError ? { code: error.code, message: error.message, status: error.status, retryable: error.retryable } : error)
    }
    await until(() => first.kept.isEmpty && second?.kept.isEmpty === true)
    return words
  }
  const full = await refusals({ maxBytes: 4096, fileBytes: 4096 })
  t.match(full[1], { code: 'RGT_BUFFER_FULL', status: 503, retryable: true })
  t.strictSame(full[1], full[2])
  const unavailable = await refusals({ fs: faultyFileSystem({ fault: ({ operation }) => operation === 'writev' ? systemError('EIO') : undefined }) })
  t.match(unavailable[1], { code: 'RGT_BUFFER_UNAVAILABLE', status: 503, retryable: true })
  t.strictSame(unavailable[1], unavailable[2])
})

t.test('without its keeper nothing is kept', async t => {
  const shared = await SharedBuffer.open(t)
  const [first] = await joinMany(shared, 1)
  first.toKeeper.hold(true)
  const waiting = [first.keep('q'), first.keep('r')]
  first.kept.lose()
  t.strictSame(first.allowances, [Infinity], 'what waits for the drain is let go of')
  for (const push of waiting) await t.rejects(push, { code: 'RGT_OUTCOME_UNKNOWN', retryable: true }, 'it may have been kept')
  await t.rejects(first.keep('s'), { code: 'RGT_BUFFER_UNAVAILABLE', retryable: true })
})

t.test('that something is held is never said to be nothing', async t => {
  const shared = await SharedBuffer.open(t)
  const [first, second] = await joinMany(shared, 2)
  if (second === undefined) throw new Error('there are two')
  // Its answer to "held" is on its way; how much it is has not been said.
  second.toKeeper.hold(true)
  const pushed = first.keep('q')
  await until(() => second.kept.holds('q'))
  t.ok(second.kept.figures.messages > 0)
  t.equal(second.kept.figures.state, 'buffering')
  second.toKeeper.hold(false)
  await pushed
})

t.test('that the database is away is told once, and that it is back to those who had said so', async t => {
  const shared = await SharedBuffer.open(t)
  let away = 0
  shared.keeper.onAway = () => { away++ }
  const [first, second] = await joinMany(shared, 2)
  for (let i = 0; i < 3; i++) first.kept.away()
  await until(() => away === 1)
  shared.keeper.regained()
  await until(() => first.regained === 1)
  first.kept.away()
  await until(() => away === 2)
  shared.keeper.regained()
  shared.keeper.regained()
  await until(() => first.regained === 2)
  // Messages arrive in order.
  await first.keep('q')
  t.strictSame([first.regained, second?.regained], [2, 0])
})

t.test('what may join the buffer is shared out', async t => {
  const shared = await SharedBuffer.open(t)
  shared.keeper.allowed(1)
  await joinMany(shared, 3)
  for (const messages of [10, 0, Infinity]) shared.keeper.allowed(messages)
  await until(() => shared.members.every(({ allowances }) => allowances.length === 3))
  for (const { allowances } of shared.members) t.strictSame(allowances, [4, 0, Infinity])
})

t.test('what it holds is reported, also when little happens', async t => {
  const shared = await SharedBuffer.open(t)
  const [first, second] = await joinMany(shared, 2)
  for (let n = 1; n <= 20; n++) {
    await first.keep('q')
    await until(() => second?.kept.figures.messages === n)
  }
  t.match(second?.kept.figures, { state: 'buffering', quarantined: 0, messages: 20 })
  const age = second?.kept.figures.oldestAgeMs ?? -1
  await until(() => (second?.kept.figures.oldestAgeMs ?? 0) > age + 20)
})

t.test('at random: each producer\'s messages are stored in order, whichever process it asks', async t => {
  const seeds = [1, 2, 3, 4, 5, randomInt(1e9)]
  const sum = { kept: 0, direct: 0, ended: 0, again: 0 }
  for (const seed of seeds) {
    const { oddities, stored, sent, tally } = await randomRun(t, seed)
    t.strictSame(oddities, [], `seed ${seed}: ${JSON.stringify(tally)}`)
    for (const [queue, count] of sent) t.strictSame(stored.get(queue), Array.from({ length: count }, (_, n) => n), `seed ${seed}: ${queue}`)
    for (const what of ['kept', 'direct', 'ended', 'again'] as const) sum[what] += tally[what]
  }
  t.ok(sum.kept > 1000 && sum.direct > 1000 && sum.ended > 10 && sum.again > 10, JSON.stringify(sum))
})
