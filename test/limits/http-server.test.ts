import t from 'tap'
import { RawClient, pollText, pushText, requestText } from '../fault/raw-client.ts'
import { startHttpServer } from './http-server.ts'
import { isRefused } from './table.ts'

t.test('what clients take too long for, by the times that are set', async t => {
  const url = await startHttpServer(t, { HEADERS_TIMEOUT: '1000', REQUEST_TIMEOUT: '1000', KEEP_ALIVE_TIMEOUT: '1000' })
  const client = new RawClient(t, url)
  const [head, rest, idle, waiting] = await client.openMany(4)
  if (head === undefined || rest === undefined || idle === undefined || waiting === undefined) throw new Error('connections are missing')
  // Its time is over before that of any of these by default.
  await waiting.write(pollText('q', 15_000))
  await head.write('GET /health HT')
  await rest.write(pushText('q', 'late').slice(0, -5))
  await idle.write(requestText('GET', '/health'))
  t.equal((await idle.reply()).status, 200)

  isRefused(t, 'headersTimeoutMs', await head.reply())
  isRefused(t, 'requestTimeoutMs', await rest.reply())
  await Promise.all([head, rest, idle].map(async connection => { await connection.closed() }))
  t.equal(idle.replies.length, 1, 'one that is idle is closed without a word')

  t.notOk(waiting.isClosed, 'who waits for messages is none of these')
  const pusher = await client.open()
  await pusher.write(pushText('q', 'in time'))
  t.match((await waiting.reply()).json.messages, [{ data: 'in time' }])
})

t.test('a head that is too large', async t => {
  const url = await startHttpServer(t, { UWS_HTTP_MAX_HEADERS_SIZE: '2048' })
  const client = new RawClient(t, url)
  const [fits, over] = await client.openMany(2, i => requestText('GET', '/health', undefined, { filler: 'x'.repeat([1500, 2500][i] ?? 0) }))
  t.equal((await fits?.reply())?.status, 200)
  const refused = await over?.reply()
  if (refused === undefined) throw new Error('there is no answer')
  isRefused(t, 'maxHeaderBytes', refused)
  await over?.closed()
})
