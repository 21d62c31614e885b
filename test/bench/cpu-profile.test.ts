import t from 'tap'
import type { Measurement } from '../../scripts/bench/measure.ts'
import { selfTimes, timesByPart } from '../../scripts/bench/profile/cpu-profile.ts'
import type { CpuProfile } from '../../scripts/bench/profile/cpu-profile.ts'
import { profilePage } from '../../scripts/bench/profile/page.ts'
import { repetition } from './results.ts'

function profile (samples: number[], timeDeltas: number[], startTime = 0): CpuProfile {
  const frame = (id: number, functionName: string, url: string, lineNumber = 9): CpuProfile['nodes'][number] => ({ id, callFrame: { functionName, url, lineNumber } })
  return {
    nodes: [
      frame(1, '(idle)', '', -1),
      frame(2, 'push', 'file:///somewhere/dist/services/queue/push.js'),
      frame(3, 'parse', 'file:///somewhere/node_modules/fastify/lib/parse.js'),
      frame(4, '(garbage collector)', '', -1),
      // The same function, called from elsewhere.
      frame(5, 'push', 'file:///somewhere/dist/services/queue/push.js'),
      frame(6, 'write', 'node:net')
    ],
    samples,
    timeDeltas,
    startTime
  }
}

t.test('a sample counts for the time until the next one, idle time not at all', async t => {
  const times = selfTimes([profile([2, 1, 3, 5, 4], [0, 30, 1000, 10, 40, 20])], 0, Infinity)
  t.strictSame(times, [
    { name: 'push', place: 'services/queue/push.js:10', share: 0.7 },
    { name: '(garbage collector)', place: '', share: 0.2 },
    { name: 'parse', place: 'fastify/lib/parse.js:10', share: 0.1 }
  ])
})

t.test('only what lies within the measurement counts, in every process by the same clock', async t => {
  const early = profile([2, 3, 2], [0, 100, 100, 100], 1000)
  const late = profile([6, 4, 4], [0, 50, 50, 50], 1100)
  t.strictSame(selfTimes([early, late], 1100, 1100).map(({ name, share }) => [name, share]), [['parse', 2 / 3], ['write', 1 / 3]])
})

t.test('parts of the program are told apart', async t => {
  const parts = timesByPart(selfTimes([profile([2, 3, 4, 6], [0, 10, 10, 10, 10])], 0, Infinity))
  t.strictSame(new Map(parts.map(({ part, share }) => [part, share])),
    new Map([['services/queue', 0.25], ['fastify', 0.25], ['garbage collector', 0.25], ['Node.js', 0.25]]))
})

t.test('the page tells where the microseconds of a message go', async t => {
  const statement = { query: 'insert into\n  log | select `x`', isTop: true, calls: 10, rows: 100, totalMs: 50, pagesRead: 3, readMs: 0, walBytes: 40_000 }
  const measurement: Measurement = { ...repetition(1000), beganAtUs: 0, endedAtUs: 100, statements: [statement] }
  const page = profilePage('push', measurement, [profile([2, 4, 1], [0, 30, 10])])
  t.match(page, '| service | 500 |')
  t.match(page, '| `push` | services/queue/push.js:10 | 75 % | 375 |')
  t.match(page, "| `insert into log \\| select 'x'` | client | 10 | 100 | 5.00 | 50.0 | 3 | 0.00 | 40 |")
  t.match(profilePage('push', { ...measurement, statements: null }, []), 'pg_stat_statements is not loaded')
})
