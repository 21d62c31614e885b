import t from 'tap'
import { connect, startService, until } from '../support.ts'
import { ackAll, payloads } from '../poll/parked.ts'

const LOCK_TIMEOUT_MS = 1500

t.test('a partition row that somebody else holds for long', async t => {
  const service = await startService(t, { safetyNetMs: 0, poolSize: 4, lockTimeoutMs: LOCK_TIMEOUT_MS, callTimeoutMs: 4000 })
  await service.push(['locked', 'free'].flatMap(partition => [{ queue: 'q', partition, payload: 1 }, { queue: 'q', partition, payload: 2 }]))
  const popped = await service.pop('q/partition/locked')

  const sql = connect(t, service.databaseUrl, 1)
  let unlock = (): void => {}
  const locked = new Promise<void>((resolve, reject) => {
    sql.begin(async tx => {
      await tx`select from regent.partitions where name = 'locked' for update`
      resolve()
      await new Promise<void>(resolve => { unlock = resolve })
    }).catch(reject)
  })
  await locked
  t.teardown(() => { unlock() })

  // As many as there are connections, and more.
  const stuck = Array.from({ length: 12 }, (_, i) => service.push([{ queue: 'q', partition: 'locked', payload: `late ${i}`, transactionId: `late-${i}` }]))
  await until(async () => (await service.call('GET', '/health')).json.load.pushesWaiting > 0)

  await t.test('pushes to other partitions are served', async t => {
    for (let i = 0; i < 5; i++) {
      const startedAt = performance.now()
      const { status } = await service.push([{ queue: 'q', partition: 'free', payload: 3 + i }])
      t.equal(status, 201)
      t.ok(performance.now() - startedAt < LOCK_TIMEOUT_MS + 1000)
    }
  })

  await t.test('pops and acknowledgements are served, those of the locked partition too', async t => {
    t.equal((await ackAll(service, popped)).json[0].success, true)
    const rest = await service.pop('q/partition/locked')
    t.strictSame(payloads(rest), [2])
    t.equal((await ackAll(service, rest)).json[0].success, true)
    const free = await service.pop('q/partition/free?batch=10')
    t.strictSame(payloads(free), [1, 2, 3, 4, 5, 6, 7])
    t.ok((await ackAll(service, free)).json.every((result: { success: boolean }) => result.success))
  })

  await t.test('pushes to it are refused as not carried out, and can be repeated', async t => {
    const [answer] = await Promise.all(stuck.slice(0, 1))
    t.equal(answer?.status, 503)
    t.equal(answer?.json.code, 'RGT_DATABASE_SLOW')
    t.ok(answer?.headers.has('retry-after'))
    unlock()
    await Promise.all(stuck)
    for (let i = 0; i < 12; i++) {
      const { status } = await service.push([{ queue: 'q', partition: 'locked', payload: `late ${i}`, transactionId: `late-${i}` }])
      t.equal(status, 201)
    }
    const all = await service.pop('q/partition/locked?batch=100')
    t.strictSame(payloads(all).sort(), Array.from({ length: 12 }, (_, i) => `late ${i}`).sort(), 'each once')
  })
})
