import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connect, until } from '../support.ts'
import { buffered, startBuffered, statuses, takeAll, untilDrained } from './support.ts'

/** What lies in the quarantine: reasons, and the contents they stand for. */
function quarantined (folder: string): { reason: string, content: string }[] {
  const quarantine = join(folder, 'quarantine')
  return readdirSync(quarantine).filter(name => name.endsWith('.json')).sort().map(name => ({
    reason: (JSON.parse(readFileSync(join(quarantine, name), 'utf8')) as { reason: string }).reason,
    content: readFileSync(join(quarantine, name.replace(/\.json$/, '')), 'utf8')
  }))
}

t.test('what the database refuses for good is set aside with its reason, and holds up nothing else', async t => {
  const { service, proxy, folder } = await startBuffered(t)
  await service.push([{ queue: 'q', payload: 0 }])
  await connect(t, proxy.url).unsafe('alter table regent.segments add constraint picky check (body not like \'%poison%\')')
  t.equal((await service.push([{ queue: 'q', payload: 'poison' }])).status, 500, 'nor does it get in otherwise')
  await proxy.leave()
  await service.push([{ queue: 'q', payload: 1 }])
  await service.push([{ queue: 'q', payload: 'poison' }])
  await service.push([{ queue: 'q', payload: 2 }])
  await service.push([{ queue: 'fine', payload: 'beside' }, { queue: 'bad', payload: 'poison too' }, { queue: 'fine', payload: 'behind' }])
  await service.push([{ queue: 'q', payload: 3 }])
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(await takeAll(service, 'q'), [0, 1, 2, 3])
  t.strictSame(await takeAll(service, 'fine'), ['beside', 'behind'], 'the other queues of such a push have theirs')
  t.strictSame(await takeAll(service, 'bad'), [])
  const kept = quarantined(folder)
  t.equal(kept.length, 2)
  t.match(kept[0], { reason: /^queue q: .*picky/, content: /"poison"/ })
  t.match(kept[1], { reason: /^queue bad: .*picky/, content: /"poison too"/ })
  t.match((await service.call('GET', '/api/v1/status/buffers')).json, { pending: 0, failed: 2, state: 'direct', buffer: 'empty' })
  t.match((await service.call('GET', '/metrics/prometheus')).text, /^queen_file_buffer_failed 2$/m)
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 4 }])), ['queued'])
})

t.test('what was accepted is stored although its queue is full by then', async t => {
  const { service, proxy } = await startBuffered(t)
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { maxSize: 2 } })
  await service.push([{ queue: 'q', payload: 0 }])
  await proxy.leave()
  for (const n of [1, 2, 3]) await service.push([{ queue: 'q', payload: n }])
  await proxy.comeBack()
  await untilDrained(service)
  // How much a full queue holds is counted anew once a second.
  await until(async () => (await service.push([{ queue: 'q', payload: 'more' }])).status === 429)
  t.strictSame((await takeAll(service, 'q')).slice(0, 4), [0, 1, 2, 3])
})

t.test('under a load that does not end the drain does, and each producer keeps its order', async t => {
  const { service, proxy } = await startBuffered(t, { fileBufferMaxBatch: 40 })
  const producers = 8
  const over = new AbortController()
  const direct = new Set<number>()
  await proxy.leave()
  const running = Array.from({ length: producers }, async (_, producer) => {
    for (let n = 0; !over.signal.aborted; n++) {
      const [status] = statuses(await service.push(Array.from({ length: 5 }, (_, i) => ({ queue: 'q', payload: [producer, n * 5 + i] }))))
      if (status === 'queued') direct.add(producer)
      else if (direct.has(producer)) throw new Error('a push was buffered after the queue had been caught up with')
    }
  })
  await until(async () => await buffered(service) > 1000)
  await proxy.comeBack()
  await until(() => direct.size === producers, 60_000)
  over.abort()
  await Promise.all(running)
  t.equal(await buffered(service), 0)
  const next = new Map<number, number>()
  let popped = 0
  for (const payload of await takeAll(service, 'q')) {
    const [producer, n] = payload as [number, number]
    if (n !== (next.get(producer) ?? 0)) t.fail(`producer ${producer}: ${n} came instead of ${next.get(producer) ?? 0}`)
    next.set(producer, n + 1)
    popped++
  }
  t.ok(popped > 1000)
})

t.test('pushes to a partition that do not wait for one another keep the order of their calls through an outage', async t => {
  const { service, proxy } = await startBuffered(t)
  const { regent } = service.app
  await regent.push([{ queue: 'q', payload: -1 }])
  const answers: Promise<{ status: string }[]>[] = []
  const push = (): void => { answers.push(regent.push([{ queue: 'q', payload: answers.length }])) }
  const burst = async (until: () => boolean): Promise<void> => {
    while (!until()) {
      for (let i = 0; i < 20; i++) push()
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  const seen = new Set<string>()
  const note = (answer: Promise<{ status: string }[]>): void => { void answer.then(([first]) => { if (first !== undefined) seen.add(first.status) }) }
  const first = proxy.catch('statement', /push_v2/)
  for (let i = 0; i < 20; i++) push()
  const caught = await first
  for (let i = 0; i < 20; i++) push()
  // Twenty are on their way to the database, twenty wait behind them, and both are diverted in this order.
  await proxy.leave()
  caught.cut()
  await Promise.all(answers)
  for (let i = 0; i < 100; i++) push()
  const back = proxy.comeBack()
  note(answers.at(-1) ?? Promise.resolve([]))
  await burst(() => seen.size > 0)
  await back
  let isDirect = false
  while (!isDirect) {
    push()
    const [last] = await answers.at(-1) ?? []
    isDirect = last?.status === 'queued'
  }
  const results = await Promise.all(answers)
  t.strictSame([...new Set(results.map(([result]) => result?.status))].sort(), ['buffered', 'queued'])
  const popped = await takeAll(service, 'q') as number[]
  t.strictSame(popped, Array.from({ length: answers.length + 1 }, (_, i) => i - 1))
})

t.test('an unknown outcome on a queue that recognises no duplicates is reported as such, and not buffered', async t => {
  const { service, proxy } = await startBuffered(t)
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { dedupWindowSeconds: 0 } })
  await service.push([{ queue: 'q', payload: 0 }])
  const caught = proxy.catch('answer', /push_v2/)
  const answered = service.push([{ queue: 'q', payload: 1 }])
  ;(await caught).cut()
  const answer = await answered
  t.equal(answer.status, 503)
  t.match(answer.json, { code: 'RGT_OUTCOME_UNKNOWN', retryable: true })
  await until(async () => (await service.call('GET', '/health')).json.pushes === 'direct')
  t.equal(await buffered(service), 0)
  t.strictSame(await takeAll(service, 'q'), [0, 1])
})
