import t from 'tap'
import { readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase } from '../support.ts'
import { HttpChannel, textOf, whole } from './http-peer.ts'

t.test('a server process that is stopped tells everybody, and is gone', async t => {
  const server = spawnServer(t, { env: { DATABASE_URL: await createDatabase(t) } })
  const home = new HttpChannel(t, await readyUrl(server))
  const others = [new HttpChannel(t, home.base), new HttpChannel(t, home.base)] as const
  // One whose receiver is at work, one whose reply has begun, one that waits; and a receiver that waits.
  const accepted = home.ask('1')
  const held = await home.taken()
  await textOf(held.answer)
  const replied = home.ask('2')
  const replying = home.call('POST', (await home.taken()).path)
  replying.outgoing.write('part')
  const answer = await replied.answer
  const queued = others[0].ask('3')
  const next = others[1].next()
  await others[0].waiting('queued', 1)
  await others[1].waiting('claims', 1)

  process.kill(server.pid, 'SIGTERM')
  t.match(await whole(accepted), { status: 502, json: { code: 'RGT_CHANNEL_RECEIVER_LEFT', retryable: false } })
  await t.rejects(textOf(answer), { code: 'ECONNRESET' })
  t.match(await whole(replying), { status: 410, json: { code: 'RGT_CHANNEL_REQUEST_OVER' } })
  t.match(await whole(queued), { status: 503, headers: { 'retry-after': '1' }, json: { code: 'RGT_SHUTTING_DOWN', retryable: true } })
  t.equal((await whole(next)).status, 204)
  t.equal(await server.ended, 0)
})
