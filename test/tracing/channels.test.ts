import t from 'tap'
import { startHttpChannel, textOf, whole } from '../channels/http-peer.ts'
import { PARENT } from './contexts.ts'

t.test('a request over HTTP brings its context to the receiver over HTTP, and leaves nothing behind', async t => {
  const home = await startHttpChannel(t)
  const contextOf = async (headers: Record<string, string>): Promise<unknown[]> => {
    const asked = home.call('POST', home.path, headers)
    asked.outgoing.end('hello')
    const taken = await home.taken()
    t.equal(await textOf(taken.answer), 'hello')
    t.equal((await whole(home.reply(taken, ''))).status, 200)
    t.equal((await whole(asked)).headers.traceparent, undefined)
    return [taken.answer.headers.traceparent, taken.answer.headers.tracestate]
  }
  t.strictSame(await contextOf({ traceparent: PARENT, tracestate: 'a=1' }), [PARENT, 'a=1'])
  t.strictSame(await contextOf({ traceparent: PARENT, tracestate: 'A' }), [PARENT, undefined])
  t.strictSame(await contextOf({ traceparent: 'x', tracestate: 'a=1' }), [undefined, undefined])
  t.strictSame(await contextOf({}), [undefined, undefined])
  await home.isEmpty()
})
