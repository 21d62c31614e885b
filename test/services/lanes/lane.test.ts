import t from 'tap'
import { RegentError } from '../../../services/errors.ts'
import { Lane } from '../../../services/lanes/lane.ts'
import type { LaneOptions } from '../../../services/lanes/lane.ts'
import { until } from '../../support.ts'

interface Call { inputs: string[], finish: () => void, fail: (error: unknown) => void }

/** A lane whose calls are finished by hand; a result is its input in upper case. */
function createLane (options: Partial<LaneOptions<string, string>> = {}): { lane: Lane<string, string>, calls: Call[] } {
  const calls: Call[] = []
  const lane = new Lane<string, string>({
    run: async inputs => await new Promise((resolve, reject) => {
      calls.push({ inputs, finish: () => { resolve(inputs.map(input => input.toUpperCase())) }, fail: reject })
    }),
    maxCalls: 1,
    maxItems: 100,
    maxBytes: 1000,
    maxWaiting: 10,
    maxWaitingBytes: 10_000,
    ...options
  })
  return { lane, calls }
}

const submit = async (lane: Lane<string, string>, input: string, keys: string[] = [], items = 1, bytes = 1): Promise<string> =>
  await lane.submit(input, keys, items, bytes)

/** The call with this number, once it has begun. */
async function callOf (calls: Call[], index: number): Promise<Call> {
  await until(() => calls.length > index)
  const call = calls[index]
  if (call === undefined) throw new Error('no such call')
  return call
}

t.test('sends what arrives together as one call, and gives each its own result', async t => {
  const { lane, calls } = createLane()
  const results = Promise.all([submit(lane, 'a'), submit(lane, 'b'), submit(lane, 'c')]);
  (await callOf(calls, 0)).finish()
  t.same(await results, ['A', 'B', 'C'])
  t.same(calls.map(call => call.inputs), [['a', 'b', 'c']])
})

t.test('gathers while a call is in flight and sends all of it when that returns', async t => {
  const { lane, calls } = createLane()
  const first = submit(lane, 'a')
  const call = await callOf(calls, 0)
  const rest = ['b', 'c', 'd'].map(async input => await submit(lane, input))
  t.same(lane.load, { waiting: 3, calls: 1 })
  await new Promise(resolve => setImmediate(resolve))
  t.equal(calls.length, 1, 'no second call beside the one allowed')
  call.finish()
  t.equal(await first, 'A');
  (await callOf(calls, 1)).finish()
  t.same(await Promise.all(rest), ['B', 'C', 'D'])
  t.same(calls[1]?.inputs, ['b', 'c', 'd'])
  t.same(lane.load, { waiting: 0, calls: 0 })
})

t.test('bounds a call by items and by bytes, but never refuses a job for its own size', async t => {
  const { lane, calls } = createLane({ maxItems: 3, maxBytes: 10 })
  const results = Promise.all([submit(lane, 'a', [], 2), submit(lane, 'b', [], 2), submit(lane, 'c', [], 1), submit(lane, 'd', [], 99, 999)])
  for (let i = 0; i < 3; i++) (await callOf(calls, i)).finish()
  t.same(await results, ['A', 'B', 'C', 'D'])
  t.same(calls.map(call => call.inputs), [['a', 'c'], ['b'], ['d']])
})

t.test('runs jobs that share a key one after the other, in order of arrival', async t => {
  const { lane, calls } = createLane({ maxCalls: 4, maxItems: 2 })
  const jobs: [string, string[], number][] = [['a', ['k', 'l'], 2], ['b', ['k'], 1], ['c', ['m'], 1], ['d', ['l', 'm'], 1], ['e', ['m'], 1], ['f', ['k'], 1]]
  const done: string[] = []
  const all = Promise.all(jobs.map(async ([input, keys, items]) => done.push(await submit(lane, input, keys, items))))
  const running = new Set<Call>()
  const keysOf = (call: Call): string[] => [...new Set(call.inputs.flatMap(input => jobs.find(job => job[0] === input)?.[1] ?? []))]
  for (let finished = 0; finished < calls.length || finished === 0; finished++) {
    await callOf(calls, finished)
    for (const call of calls.slice(finished)) running.add(call)
    const held = [...running].flatMap(keysOf)
    t.equal(new Set(held).size, held.length, 'no key in two calls at once')
    const call = calls[finished]
    if (call === undefined) break
    running.delete(call)
    call.finish()
    await new Promise(resolve => setImmediate(resolve))
  }
  await all
  for (const key of ['k', 'l', 'm']) {
    const expected = jobs.filter(([, keys]) => keys.includes(key)).map(([input]) => input.toUpperCase())
    t.same(done.filter(input => expected.includes(input)), expected, key)
  }
})

t.test('splits a call that fails on its data until only the bad jobs are left', async t => {
  const tried: string[][] = []
  const { lane } = createLane({
    run: async inputs => {
      tried.push(inputs)
      if (inputs.some(input => input.startsWith('bad'))) throw new Error(`refused ${inputs.join()}`)
      return inputs.map(input => input.toUpperCase())
    }
  })
  const results = await Promise.allSettled(['a', 'bad1', 'b', 'c', 'd', 'e', 'bad2'].map(async input => await submit(lane, input)))
  t.same(results.map(result => result.status === 'fulfilled' ? result.value : result.reason.message), ['A', 'refused bad1', 'B', 'C', 'D', 'E', 'refused bad2'])
  t.equal(tried[0]?.length, 7)
  t.equal(await submit(lane, 'later'), 'LATER', 'the lane goes on')
})

t.test('does not split when the database as a whole is at fault', async t => {
  for (const code of ['RGT_DATABASE_AWAY', 'RGT_OUTCOME_UNKNOWN', 'RGT_DATABASE_SLOW', 'RGT_SHUTTING_DOWN', 'RGT_OVERLOADED'] as const) {
    const { lane, calls } = createLane()
    const results = Promise.allSettled([submit(lane, 'a'), submit(lane, 'b')]);
    (await callOf(calls, 0)).fail(new RegentError(code))
    t.match(await results, [{ status: 'rejected', reason: { code } }, { status: 'rejected', reason: { code } }])
    t.equal(calls.length, 1)
  }
})

t.test('keeps a key busy while its call is being split', async t => {
  const { lane, calls } = createLane({ maxCalls: 2 })
  const results = Promise.allSettled([submit(lane, 'a', ['k']), submit(lane, 'b', ['l'])]);
  (await callOf(calls, 0)).fail(new Error('data'))
  await callOf(calls, 1)
  const after = submit(lane, 'c', ['k'])
  await new Promise(resolve => setImmediate(resolve))
  t.same(calls.map(call => call.inputs), [['a', 'b'], ['a']]);
  (await callOf(calls, 1)).finish();
  (await callOf(calls, 2)).finish();
  (await callOf(calls, 3)).finish()
  await results
  t.equal(await after, 'C')
  t.same(calls.map(call => call.inputs), [['a', 'b'], ['a'], ['b'], ['c']])
})

t.test('rejects a job whose call came back with too few results', async t => {
  const { lane } = createLane({ run: async () => ['only one'] })
  t.match(await Promise.allSettled([submit(lane, 'a'), submit(lane, 'b')]), [{ value: 'only one' }, { reason: { code: 'RGT_INTERNAL' } }])
})

t.test('refuses what it cannot take: by number of jobs and by bytes, but one job of any size when nothing waits', async t => {
  const { lane, calls } = createLane({ maxWaiting: 2, maxWaitingBytes: 10 })
  const first = submit(lane, 'a', [], 1, 5)
  await callOf(calls, 0)
  const large = submit(lane, 'b', [], 1, 500)
  await t.rejects(submit(lane, 'c'), { code: 'RGT_OVERLOADED', status: 503, retryable: true }, 'too many bytes');
  (await callOf(calls, 0)).finish()
  await callOf(calls, 1)
  const waiting = [submit(lane, 'd'), submit(lane, 'e')]
  await t.rejects(submit(lane, 'f'), { code: 'RGT_OVERLOADED' }, 'too many jobs');
  (await callOf(calls, 1)).finish();
  (await callOf(calls, 2)).finish()
  t.same(await Promise.all([first, large, ...waiting]), ['A', 'B', 'D', 'E'], 'what it had taken is done')
})

t.test('close refuses new jobs and waits for those taken', async t => {
  const { lane, calls } = createLane()
  const taken = [submit(lane, 'a')]
  await callOf(calls, 0)
  taken.push(submit(lane, 'b'))
  let isClosed = false
  const closed = lane.close().then(() => { isClosed = true })
  await t.rejects(submit(lane, 'c'), { code: 'RGT_SHUTTING_DOWN', status: 503 });
  (await callOf(calls, 0)).finish()
  await callOf(calls, 1)
  t.notOk(isClosed);
  (await callOf(calls, 1)).finish()
  t.same(await Promise.all(taken), ['A', 'B'])
  await closed
  await lane.close()
  await createLane().lane.close()
})

t.test('close waits for a job that was taken in the same turn', async t => {
  const { lane, calls } = createLane()
  const taken = submit(lane, 'a')
  const closed = lane.close();
  (await callOf(calls, 0)).finish()
  t.equal(await taken, 'A')
  await closed
})
