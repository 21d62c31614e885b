import t from 'tap'
import type { Test } from 'tap'
import { ackAll, payloads, poll, untilParked } from '../poll/parked.ts'
import { startBuffered, statuses, takeAll, untilDrained } from '../failover/support.ts'
import { startService } from '../support.ts'

const STEPS_MS = [300_000, -300_000, 86_400_000, -86_400_000]
const real = Date.now

/** The wall clock of the process, which the service under test shares, is set forwards or backwards from now on. */
function step (t: Test, ms: number): void {
  Date.now = () => real() + ms
  t.teardown(() => { Date.now = real })
}

t.test('waiting pops go by a clock that is never set', async t => {
  const service = await startService(t)
  for (const ms of STEPS_MS) {
    const startedAt = performance.now()
    const empty = poll(service, 'empty', 1000)
    const woken = poll(service, 'q', 60_000)
    await untilParked(service, 2)
    step(t, ms)
    t.strictSame(payloads(await empty.answer), [])
    const tookMs = performance.now() - startedAt
    t.ok(tookMs >= 990, `not before its time: ${tookMs} ms`)
    await service.push([{ queue: 'q', payload: ms }])
    const answer = await woken.answer
    t.strictSame(payloads(answer), [ms], 'and is woken as ever')
    await ackAll(service, answer)
  }
})

t.test('leases go by the clock of the database', async t => {
  const service = await startService(t)
  await service.push([{ queue: 'q', payload: 1 }])
  const popped = await service.pop('q')
  for (const ms of STEPS_MS) {
    step(t, ms)
    t.strictSame(payloads(await service.pop('q')), [], 'nobody else gets what is leased')
  }
  t.equal((await ackAll(service, popped)).json[0].success, true)
})

t.test('a clock that is set while pushes are buffered neither loses, repeats nor reorders them', async t => {
  for (const ms of STEPS_MS) {
    const { service, proxy } = await startBuffered(t)
    await service.push([{ queue: 'q', payload: 0, transactionId: '0' }])
    await proxy.leave()
    for (let n = 0; n < 10; n++) {
      // Each twice, as by a client that heard nothing, and the one that was stored before as well.
      for (let copy = 0; copy < 2; copy++) t.strictSame(statuses(await service.push([{ queue: 'q', payload: n, transactionId: String(n) }])), ['buffered'])
      if (n === 5) step(t, ms)
    }
    await proxy.comeBack()
    await untilDrained(service)
    t.strictSame(await takeAll(service, 'q'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    Date.now = real
  }
})
