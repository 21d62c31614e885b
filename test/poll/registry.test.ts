import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { RegentError } from '../../services/errors.ts'
import { hintOf } from '../../services/poll/hint.ts'
import type { Hint } from '../../services/poll/hint.ts'
import { PollRegistry } from '../../services/poll/registry.ts'
import type { RegistryOptions } from '../../services/poll/registry.ts'
import type { Delivery, Look, LookSpec, PopRequest } from '../../services/poll/types.ts'
import { until } from '../support.ts'

const silent = { debug () {}, info () {}, warn () {}, error () {} }

function request (queue: string, waitMs: number, more: Partial<PopRequest> = {}): PopRequest {
  return {
    target: { queue, partition: null, namespace: null, task: null },
    group: 'g',
    batch: 1,
    partitions: 1,
    autoAck: false,
    subscription: { mode: 'all' },
    waitMs,
    ...more
  }
}

function delivery (id: number | string): Delivery {
  return { queue: 'q', namespace: '', task: '', leaseId: String(id), runs: [] }
}

function nothing (spec: LookSpec): Look {
  return { deliveries: spec.requests.map(() => null), state: 'ok', nextMs: null }
}

function event (queue: string): Hint {
  return hintOf({ queue, namespace: '', task: '', partition: 'p', group: null })
}

function start (t: Test, options: Partial<RegistryOptions>): PollRegistry {
  const registry = new PollRegistry({
    look: async specs => specs.map(nothing),
    release: async () => {},
    recover: async () => {},
    safetyNetMs: 0,
    maxParked: 1000,
    log: silent,
    ...options
  })
  t.teardown(async () => { await registry.close() })
  return registry
}

t.test('polls whose time is over are answered in the order of their deadlines', async t => {
  const registry = start(t, {})
  const order: number[] = []
  await Promise.all([300, 100, 200, 400].map(async waitMs => {
    t.equal(await registry.pop(request('q', waitMs)), null)
    order.push(waitMs)
  }))
  t.strictSame(order, [100, 200, 300, 400])
  t.strictSame(registry.size, { intentions: 0, specs: 0 })
})

t.test('a look that fails for one poll still serves those that share the call', async t => {
  const registry = start(t, {
    look: async specs => {
      if (specs.some(spec => spec.target.queue === 'q13')) throw new Error('refused')
      return specs.map((spec, i) => ({ ...nothing(spec), deliveries: spec.requests.map(() => delivery(i)) }))
    }
  })
  const served = await Promise.all(Array.from({ length: 40 }, async (_, i) => await registry.pop(request(`q${i}`, 600)) !== null))
  t.strictSame(served, Array.from({ length: 40 }, (_, i) => i !== 13))
})

t.test('a database that is away is asked again in one call for all, and nobody gets an error', async t => {
  let isAway = true
  let calls = 0
  const registry = start(t, {
    look: async specs => {
      calls++
      if (isAway) throw new RegentError('RGT_DATABASE_AWAY')
      return specs.map((spec, i) => ({ ...nothing(spec), deliveries: spec.requests.map(() => delivery(i)) }))
    }
  })
  const polls = Array.from({ length: 40 }, async (_, i) => await registry.pop(request(`q${i}`, 5000)))
  await until(() => calls >= 2)
  t.ok(calls <= 3, 'not split')
  isAway = false
  for (const answer of await Promise.all(polls)) t.not(answer, null)
})

t.test('an answer that arrives shortly after the deadline still counts, one that comes much later is given back', async t => {
  const waiting: ((looks: Look[]) => void)[] = []
  const released: Delivery[] = []
  const registry = start(t, {
    look: async () => await new Promise(resolve => { waiting.push(resolve) }),
    release: async (_group, given) => { released.push(given) }
  })
  const timely = registry.pop(request('q', 50))
  await until(() => waiting.length === 1)
  await delay(150)
  waiting[0]?.([{ deliveries: [delivery('timely')], state: 'ok', nextMs: null }])
  t.equal((await timely)?.leaseId, 'timely')
  await until(() => waiting.length === 2 || registry.size.specs === 0)

  const late = registry.pop(request('other', 50))
  await until(() => waiting.length >= 2)
  const startedAt = performance.now()
  t.equal(await late, null)
  t.ok(performance.now() - startedAt < 2050, 'answered within what clients allow although the look goes on')
  for (const resolve of waiting.slice(1)) resolve([{ deliveries: [delivery('late')], state: 'ok', nextMs: null }])
  await until(() => released.length === 1)
  t.equal(released[0]?.leaseId, 'late')
})

t.test('an event during a look is looked for again', async t => {
  let looks = 0
  let isThere = false
  let finish = (): void => {}
  const registry = start(t, {
    look: async specs => {
      looks++
      const found = isThere
      if (looks === 1) await new Promise<void>(resolve => { finish = resolve })
      return specs.map(spec => ({ ...nothing(spec), deliveries: spec.requests.map(() => found ? delivery(looks) : null) }))
    }
  })
  const answer = registry.pop(request('q', 5000))
  await until(() => looks === 1)
  isThere = true
  registry.wake([event('q')])
  finish()
  t.equal((await answer)?.leaseId, '2')
})

t.test('claims of a look with an unknown outcome are given back, again after the time in which it could still run', async t => {
  let looks = 0
  const asked: string[][] = []
  const recovered: string[][] = []
  const registry = start(t, {
    lostForMs: 300,
    look: async specs => {
      looks++
      asked.push(specs.flatMap(spec => spec.requests.map(({ token }) => token)))
      if (looks === 1) throw new RegentError('RGT_OUTCOME_UNKNOWN')
      return specs.map(nothing)
    },
    recover: async (_group, tokens) => { recovered.push(tokens) }
  })
  const polled = registry.pop(request('q', 5000))
  await until(() => recovered.length >= 2)
  t.strictSame(recovered, [asked[0], asked[0]])
  t.notSame(asked[1], asked[0], 'the next look has a token of its own')
  await until(() => looks >= 3)
  await delay(700)
  t.equal(recovered.length, 2, 'and then no more')
  await registry.close()
  t.equal(await polled, null)
})

t.test('every poll is answered exactly once, and every delivery goes to one poll or back', async t => {
  let next = 0
  const given = new Set<string>()
  const back = new Set<string>()
  const registry = start(t, {
    look: async specs => {
      await delay(Math.random() * 8)
      if (Math.random() < 0.1) throw new RegentError('RGT_DATABASE_AWAY')
      return specs.map(spec => ({
        deliveries: spec.requests.map(() => Math.random() < 0.3 ? delivery(next++) : null), state: 'ok', nextMs: Math.random() * 20
      }))
    },
    release: async (_group, { leaseId }) => {
      if (leaseId !== null) {
        if (back.has(leaseId) || given.has(leaseId)) throw new Error('given twice')
        back.add(leaseId)
      }
    }
  })
  const pops: Promise<void>[] = []
  const POPS = 3000
  for (let i = 0; i < POPS; i++) {
    const gone = new AbortController()
    let answers = 0
    // Deadlines, departures and deliveries meet within a few milliseconds of one another.
    const wanted = request(`q${i % 7}`, Math.floor(Math.random() * 30), { group: `g${i % 3}` })
    pops.push(registry.pop(wanted, gone.signal).then(answer => {
      if (++answers > 1) throw new Error('answered twice')
      if (answer?.leaseId == null) return
      if (given.has(answer.leaseId) || back.has(answer.leaseId)) throw new Error('delivered twice')
      given.add(answer.leaseId)
    }))
    if (i % 3 === 0) setTimeout(() => { gone.abort() }, Math.random() * 30)
    if (i % 5 === 0) registry.wake([event(`q${i % 7}`)])
    if (i % 50 === 0) await delay(1)
  }
  const closing = delay(20).then(async () => { await registry.close() })
  const settled = await Promise.allSettled(pops)
  await closing
  t.strictSame(settled.filter(({ status }) => status === 'rejected'), [])
  t.equal(given.size + back.size, next, 'no delivery is lost')
  t.ok(given.size > 100 && back.size > 0, 'both ends were reached')
  t.strictSame(registry.size, { intentions: 0, specs: 0 })
  t.equal(await registry.pop(request('q', 1000)), null, 'a closed registry answers at once')
})
