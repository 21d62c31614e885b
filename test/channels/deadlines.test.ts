import t from 'tap'
import { Deadlines, LONGEST_MS, systemClock } from '../../services/channels/deadlines.ts'
import { FakeClock } from './fake-clock.ts'
import { seeded } from './seeded.ts'

t.test('each goes off at its time, once, in order, on one timer', t => {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const gone: number[] = []
  for (const ms of [50, 10, 30, 10.5, 40]) deadlines.set(ms, () => { gone.push(ms) })
  t.equal(clock.timers.size, 1)
  clock.advance(9)
  t.same(gone, [])
  clock.advance(1)
  t.same(gone, [10])
  clock.advance(100)
  t.same(gone, [10, 10.5, 30, 40, 50])
  t.same([deadlines.size, clock.timers.size], [0, 0])
  t.end()
})

t.test('one that was cleared does not go off; without any there is no timer', t => {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const gone: number[] = []
  const first = deadlines.set(10, () => { gone.push(10) })
  const second = deadlines.set(20, () => { gone.push(20) })
  deadlines.clear(first)
  deadlines.clear(first)
  deadlines.clear(null)
  t.equal(deadlines.size, 1)
  clock.advance(15)
  t.equal(clock.timers.size, 1, 'for the second')
  deadlines.clear(second)
  t.equal(clock.timers.size, 0)
  deadlines.set(5, () => { gone.push(5) })
  deadlines.set(6, () => { gone.push(6) })
  deadlines.clearAll()
  t.equal(clock.timers.size, 0)
  clock.advance(100)
  t.same(gone, [])
  t.end()
})

t.test('setting and clearing while they go off', t => {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const gone: string[] = []
  const victim = deadlines.set(10, () => { gone.push('victim') })
  deadlines.set(9, () => {
    gone.push('first')
    deadlines.clear(victim)
    deadlines.set(0, () => { gone.push('set by the first') })
  })
  clock.advance(10)
  t.same(gone, ['first', 'set by the first'])
  t.equal(clock.timers.size, 0)
  t.end()
})

t.test('one that is too far away for a timer is cut to the longest', t => {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  let isOver = false
  deadlines.set(2 ** 64, () => { isOver = true })
  clock.advance(LONGEST_MS - 1)
  t.notOk(isOver)
  clock.advance(1)
  t.ok(isOver)
  t.end()
})

t.test('any mixture of setting and clearing keeps the order', t => {
  const random = seeded(7)
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const live = new Set<ReturnType<Deadlines['set']>>()
  let late = 0
  for (let step = 0; step < 20_000; step++) {
    const kind = random(10)
    if (kind < 5) {
      const deadline = deadlines.set(random(1000), () => {
        live.delete(deadline)
        if (deadline.at > clock.now() || clock.now() - deadline.at > 1) late++
      })
      live.add(deadline)
    } else if (kind < 8) {
      const some = [...live][0]
      if (some !== undefined) {
        live.delete(some)
        deadlines.clear(some)
      }
    } else {
      clock.advance(random(20))
    }
    if (deadlines.size !== live.size) t.fail(`step ${step}: ${deadlines.size} instead of ${live.size}`)
  }
  clock.advance(1000)
  t.same([late, live.size, deadlines.size, clock.timers.size], [0, 0, 0, 0])
  t.end()
})

t.test('works with the clock of the system', async t => {
  const deadlines = new Deadlines(systemClock)
  const start = systemClock.now()
  await new Promise<void>(resolve => { deadlines.set(20, resolve) })
  t.ok(systemClock.now() - start >= 20)
  deadlines.clear(deadlines.set(60_000, () => {}))
})
