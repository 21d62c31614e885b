import t from 'tap'
import { startHttpChannel } from './http-peer.ts'

const [SENDERS, REQUESTS, RECEIVERS] = [20, 50, 4]

t.test('many senders and receivers over HTTP: each request is answered once, with its own reply', async t => {
  const home = await startHttpChannel(t)
  const { service } = home
  const seen = new Map<string, number>()
  const stop = new AbortController()
  const statuses = new Set<number>()

  const receive = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const taken = await service.call('GET', `${home.path}/next?wait=true&timeout=60000`, undefined, { signal: stop.signal }).catch(() => null)
      if (taken === null || taken.status === 204) continue
      seen.set(taken.text, (seen.get(taken.text) ?? 0) + 1)
      statuses.add((await service.call('POST', taken.headers.get('location') ?? '', `${taken.text}-echo`)).status)
    }
  }
  const send = async (sender: number): Promise<void> => {
    for (let i = 0; i < REQUESTS; i++) {
      const message = `${sender}/${i}`
      const { status, text } = await service.call('POST', `${home.path}?timeout=120000`, message)
      if (status !== 200 || text !== `${message}-echo`) t.fail(`${message}: ${status} ${text}`)
    }
  }
  const receiving = Array.from({ length: RECEIVERS }, receive)
  await Promise.all(Array.from({ length: SENDERS }, async (_, sender) => { await send(sender) }))
  stop.abort()
  await Promise.all(receiving)
  t.equal(seen.size, SENDERS * REQUESTS)
  t.same(new Set(seen.values()), new Set([1]))
  t.same(statuses, new Set([200]))
  t.ok(await home.isEmpty())
  t.match(service.channels().stats(), { opened: SENDERS * REQUESTS, completed: SENDERS * REQUESTS, failed: 0, invalid: 0 })
})
