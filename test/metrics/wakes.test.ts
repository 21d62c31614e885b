import t from 'tap'
import type { Test } from 'tap'
import { hintOf } from '../../services/poll/hint.ts'
import { PollRegistry } from '../../services/poll/registry.ts'
import type { Delivery, Look, PopRequest } from '../../services/poll/types.ts'
import { until } from '../support.ts'

const HINT = hintOf({ queue: 'q', namespace: '', task: '', partition: 'p', group: null })
const DELIVERY: Delivery = { queue: 'q', namespace: '', task: '', leaseId: 'l', runs: [] }
const NOTHING: Look = { deliveries: [null], state: 'ok', nextMs: null }
const SERVED: Look = { deliveries: [DELIVERY], state: 'ok', nextMs: null }
const log = { debug () {}, info () {}, warn () {}, error () {} }

interface Setup {
  registry: PollRegistry
  clock: { ms: number }
  /** Begins to wait; resolves with what came. */
  pop: () => Promise<Delivery | null>
  /** The next look at the database, once it has begun; it ends with what is given. */
  look: () => Promise<(look: Look) => void>
}

/** A registry whose clock and looks are moved by hand. */
function start (t: Test): Setup {
  const clock = { ms: 1_000_000 }
  const looks: ((look: Look) => void)[] = []
  const registry = new PollRegistry({
    look: async () => [await new Promise<Look>(resolve => { looks.push(resolve) })],
    release: async () => {},
    recover: async () => {},
    safetyNetMs: 0,
    maxParked: 10,
    log,
    now: () => clock.ms
  })
  t.teardown(async () => {
    for (const end of looks) end(NOTHING)
    await registry.close()
  })
  const request: PopRequest = {
    target: { queue: 'q', partition: null, namespace: null, task: null },
    group: 'g',
    batch: 1,
    partitions: 1,
    autoAck: false,
    subscription: { mode: 'all' },
    waitMs: 600_000
  }
  return {
    registry,
    clock,
    pop: async () => await registry.pop(request),
    look: async () => {
      await until(() => looks.length > 0)
      return looks.shift() ?? (() => {})
    }
  }
}

/** How many wake-ups were measured, and how many milliseconds they took together. */
function measured ({ registry: { wakes: { figures: { counts, sum } } } }: Setup): [count: number, ms: number] {
  return [counts.reduce((all, count) => all + count, 0), Math.round(sum * 1000)]
}

t.test('a pop that waited is measured from the hint until it has its messages', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  const answer = pop();
  (await look())(NOTHING)
  clock.ms += 5000
  registry.wake([HINT])
  clock.ms += 3
  const end = await look()
  clock.ms += 4
  end(SERVED)
  t.equal(await answer, DELIVERY)
  t.same(measured(setup), [1, 7])
})

t.test('what a pop finds when it comes was not waited for', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  registry.wake([HINT])
  const answer = pop()
  const end = await look()
  clock.ms += 10
  end(SERVED)
  await answer
  t.same(measured(setup), [0, 0])
})

t.test('a look that finds the partition locked is followed by one for the same messages', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  const answer = pop();
  (await look())(NOTHING)
  registry.wake([HINT])
  const locked = await look()
  clock.ms += 2
  locked({ ...NOTHING, nextMs: 0 })
  const end = await look()
  clock.ms += 20
  end(SERVED)
  await answer
  t.same(measured(setup), [1, 22])
})

t.test('a hint that comes during a look is what the next look is for', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  const answer = pop()
  const first = await look()
  clock.ms += 100
  registry.wake([HINT])
  clock.ms += 5
  first(NOTHING)
  const second = await look()
  clock.ms += 1
  second(SERVED)
  await answer
  t.same(measured(setup), [1, 6])
})

t.test('what was looked for in vain is forgotten: later messages are measured by their own hint', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  const answer = pop();
  (await look())(NOTHING)
  registry.wake([HINT]);
  (await look())(NOTHING)
  clock.ms += 60_000
  registry.wake([HINT])
  const end = await look()
  clock.ms += 1
  end(SERVED)
  await answer
  t.same(measured(setup), [1, 1])
})

t.test('who came after the hint is served by the same look, and did not wait for it', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  const first = pop();
  (await look())(NOTHING)
  registry.wake([HINT])
  clock.ms += 8
  const second = pop()
  const end = await look()
  end({ ...SERVED, deliveries: [DELIVERY, DELIVERY] })
  await Promise.all([first, second])
  t.same(measured(setup), [1, 8])
})

t.test('looking without a hint measures nothing', async t => {
  const setup = start(t)
  const { registry, clock, pop, look } = setup
  const answer = pop();
  (await look())(NOTHING)
  registry.wakeAll()
  const end = await look()
  clock.ms += 5
  end(SERVED)
  await answer
  t.same(measured(setup), [0, 0])
})
