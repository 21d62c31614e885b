import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { projectDir, readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase, until } from '../support.ts'
import { connectChannel } from '../../client.ts'
import { shout, uuid } from './client-support.ts'

/** What a program prints, and how it ends. */
async function run (t: Test, ...command: string[]): Promise<{ output: string, errors: string, code: number | string | null }> {
  const program = spawnServer(t, { env: {}, command: [process.execPath, ...command] })
  const code = await program.ended
  return { output: program.output(), errors: program.errors(), code }
}

const LOADS = `
const { connectChannel, ChannelClient, ChannelError, CHANNEL_ERRORS } = await import(process.argv[1])
const client = connectChannel({ url: 'tcp://127.0.0.1:1', channel: '${uuid()}' })
await client.close()
console.log(client instanceof ChannelClient, new ChannelError('CHANNEL_CLOSED').message === CHANNEL_ERRORS.CHANNEL_CLOSED)
`

t.test('the client needs no other package before it connects', async t => {
  // Where none is to be found.
  const folder = await mkdtemp(join(tmpdir(), 'regent-client-'))
  t.teardown(async () => { await rm(folder, { recursive: true }) })
  await cp(join(projectDir, 'dist'), folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  t.same(await run(t, '--input-type=module', '--eval', LOADS, join(folder, 'client.js')), { output: 'true true\n', errors: '', code: 0 })
  t.match(await run(t, '--input-type=module', '--eval', LOADS, join(folder, 'index.js')), { errors: /ERR_MODULE_NOT_FOUND/, code: 1 }, 'unlike the service')
})

t.test('it is found under the name of the package', async t => {
  t.same(await run(t, '--input-type=module', '--eval', LOADS, 'regent/client'), { output: 'true true\n', errors: '', code: 0 })
})

t.test('a server with channels is used over TCP and over WebSocket, by the example too', { timeout: 120_000 }, async t => {
  const server = spawnServer(t, { env: { DATABASE_URL: await createDatabase(t), CHANNELS_PORT: '0', FILE_BUFFER_DIR: t.testdir() } })
  const http = await readyUrl(server)
  await until(() => server.output().includes('channels are open'))
  const tcp = `tcp://127.0.0.1:${/"address":\{[^}]*"port":(\d+)/.exec(server.output())?.[1]}`
  const ws = `${http.replace('http', 'ws')}/api/v1/channels`
  for (const url of [tcp, ws]) {
    const { output, errors, code } = await run(t, join(projectDir, 'examples/channels.mjs'), url)
    t.equal(errors, '')
    t.match(output, /^\. 2 lines\n\.+ \d+ lines\nCHANNEL_TIMEOUT\n$/)
    t.equal(code, 0)
  }
  const channel = uuid()
  const [sender, receiver] = [connectChannel({ url: tcp, channel }), connectChannel({ url: ws, channel, headers: { 'x-any': 'header' } })]
  t.teardown(async () => { await Promise.all([sender.close(), receiver.close()]) })
  receiver.receive(shout)
  t.equal(await text(sender.send('from one to the other')), 'FROM ONE TO THE OTHER')
  const lost = connectChannel({ url: `${ws}/nothing-here`, channel })
  await t.rejects(text(lost.send('x', { timeoutMs: 1000 })), { code: 'CHANNEL_TIMEOUT', cause: { code: 'CHANNEL_NOT_CONNECTED', message: /404/ } })
  await lost.close()
})
