import t from 'tap'
import { optionsOfWorker } from '../../services/workers/share.ts'
import { payloads, poll, untilParked } from '../poll/parked.ts'
import { startService } from '../support.ts'
import { isRefused } from './table.ts'

const MOST = 3

t.test('as many pops wait as may', async t => {
  const service = await startService(t, { maxParkedPops: MOST })
  for (let i = 1; i < MOST; i++) poll(service, 'idle', 120_000)
  await untilParked(service, MOST - 1)

  t.test('one more is refused, whoever asks; those that do not wait are served', async t => {
    const last = poll(service, 'idle', 120_000)
    await untilParked(service, MOST)
    for (const path of ['/queue/idle?', '/queue/other?', '/queue/idle/partition/p?', '?namespace=n&']) {
      isRefused(t, 'maxParkedPops', await service.call('GET', `/api/v1/pop${path}wait=true&timeout=60000`), path)
    }
    await t.rejects(service.app.regent.pop({ queue: 'idle', waitMs: 60_000 }), { code: 'RGT_OVERLOADED' }, 'also the code around it')
    t.match(await service.pop('idle'), { status: 200, json: { messages: [] } })
    t.match(await service.pop('idle?wait=true&timeout=0'), { status: 200, json: { messages: [] } })
    await service.push([{ queue: 'other', payload: 1 }])
    t.same(payloads(await service.pop('other')), [1])
    t.same(await service.app.regent.pop({ queue: 'idle' }), [])
    last.leave()
    await untilParked(service, MOST - 1)
  })

  t.test('whichever way one ends, there is room for exactly one again', async t => {
    const ends: Record<string, () => Promise<void>> = {
      'its client leaves': async () => {
        const leaving = poll(service, 'idle', 120_000)
        await untilParked(service, MOST)
        leaving.leave()
        await untilParked(service, MOST - 1)
      },
      'it is served': async () => {
        const served = poll(service, 'served', 120_000)
        await untilParked(service, MOST)
        await service.push([{ queue: 'served', payload: 'it' }])
        t.same(payloads(await served.answer), ['it'])
      },
      'its time is over': async () => { t.same(payloads(await poll(service, 'idle', 100).answer), []) },
      'its client had left before it could wait': async () => {
        const gone = new AbortController()
        gone.abort()
        t.same(await service.app.regent.pop({ queue: 'idle', waitMs: 60_000, signal: gone.signal }), [])
      }
    }
    for (const [how, end] of Object.entries(ends)) {
      await end()
      const next = poll(service, 'idle', 120_000)
      await untilParked(service, MOST)
      isRefused(t, 'maxParkedPops', await service.pop('idle?wait=true&timeout=60000'), how)
      next.leave()
      await untilParked(service, MOST - 1)
    }
  })
})

t.test('several processes share out what one server may have', async t => {
  for (const [total, count, share] of [[50_000, 4, 12_500], [10, 3, 3], [2, 4, 1]] as const) {
    t.equal(optionsOfWorker({ maxParkedPops: total }, 1, count).maxParkedPops, share)
  }
})
