import t from 'tap'
import type { Hint } from '../../../services/poll/hint.ts'
import { Notifier } from '../../../services/notify/notifier.ts'
import { FaultProxy } from '../../fault/proxy.ts'
import { createDatabase, until } from '../../support.ts'

const HINT: Hint = { kind: 'changed', queue: 'q' }
const silent = { debug () {}, info () {}, warn () {}, error () {} }

function connection (url: string) {
  return { url, schema: 'regent', applicationName: 'test', connectTimeoutMs: 2000, statementTimeoutMs: 10_000, lockTimeoutMs: 10_000 } as never
}

t.test('a listening connection that leads nowhere is replaced, and what is said then is heard', async t => {
  const url = await createDatabase(t)
  const proxy = await FaultProxy.start(t, url)
  const heard: Hint[] = []
  let resyncs = 0
  const warnings: string[] = []
  // The server listens for it, but nothing it says arrives any more.
  const caught = proxy.catch('answer', /^listen/i)
  const deaf = new Notifier({
    connection: connection(proxy.url),
    onHints: hints => { heard.push(...hints) },
    onResync: () => { resyncs++ },
    log: { ...silent, warn: (_fields, message) => { warnings.push(message) } },
    checkMs: 500
  })
  const speaker = new Notifier({ connection: connection(url), onHints () {}, onResync () {}, log: silent })
  t.teardown(async () => { await Promise.all([deaf.close(), speaker.close()]) })
  deaf.start()
  speaker.start()
  await caught
  t.equal(resyncs, 0)
  await until(() => resyncs > 0, 30_000)
  t.match(warnings, [/not heard/])
  speaker.send([HINT])
  await until(() => heard.length > 0, 30_000)
  t.same(heard[0], HINT)
})

t.test('one that hears is left alone', async t => {
  const url = await createDatabase(t)
  const proxy = await FaultProxy.start(t, url)
  let resyncs = 0
  const notifier = new Notifier({ connection: connection(proxy.url), onHints () {}, onResync: () => { resyncs++ }, log: silent, checkMs: 300 })
  t.teardown(async () => { await notifier.close() })
  notifier.start()
  await until(() => proxy.count(/pg_notify/) >= 4, 30_000)
  t.equal(resyncs, 1)
  t.equal(proxy.count(/^listen/i), 1)
})
