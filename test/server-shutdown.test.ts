import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { makeFolder, waitFor } from './fixtures/embedded-postgres.ts'
import { projectDir, readyUrl, spawnServer } from './fixtures/server-process.ts'
import type { ServerProcess } from './fixtures/server-process.ts'
import { connect, createDatabase, request, until } from './support.ts'
import type { Answer } from './support.ts'

const POLLS = 100
const PUSHES = 100
// Calls the push lane makes at once: they are in the database, all later pushes wait in the process.
const CALLS = 4

async function push (url: string, queue: string, transactionId: string): Promise<Answer> {
  return await request(`${url}/api/v1/push`, { method: 'POST', body: JSON.stringify({ items: [{ queue, transactionId, payload: 1 }] }) })
}

interface Busy {
  polls: Promise<Answer[]>
  pushes: Promise<Answer[]>
  release: () => Promise<void>
  stored: () => Promise<string[]>
}

/** Parked polls, and pushes that are held in the database and in front of it by a lock on the log. */
async function makeBusy (t: Test, url: string, databaseUrl: string): Promise<Busy> {
  const sql = connect(t, databaseUrl)
  const polls = Array.from({ length: POLLS }, async (_, i) => await request(`${url}/api/v1/pop/queue/parked-${i}?wait=true&timeout=60000`))
  await until(async () => (await request(`${url}/health`)).json.load.parkedPops === POLLS)

  const holder = await sql.reserve()
  await holder`begin`
  await holder`lock table regent.segments in exclusive mode`
  const pushes: Promise<Answer>[] = []
  const pushNext = (): void => { pushes.push(push(url, `q-${pushes.length}`, `t-${pushes.length}`)) }
  for (let held = 1; held <= CALLS; held++) {
    pushNext()
    await until(async () => {
      const [row] = await sql`select count(*)::int as n from pg_locks where relation = 'regent.segments'::regclass and not granted`
      return row?.n === held
    })
  }
  while (pushes.length < PUSHES) pushNext()
  await until(async () => (await request(`${url}/health`)).json.load.pushesWaiting === PUSHES - CALLS)
  return {
    polls: Promise.all(polls),
    pushes: Promise.all(pushes),
    release: async () => {
      await holder`rollback`
      holder.release()
    },
    stored: async () => (await sql`select transaction_id from regent.messages`).map(row => row.transaction_id as string).sort()
  }
}

async function saysStopping (server: ServerProcess): Promise<void> {
  await waitFor('the server to begin stopping', 10_000, () => server.output().includes('"stopping"'))
}

t.test('SIGTERM with parked polls and pushes under way: all are answered, what is answered 201 is stored', async t => {
  const databaseUrl = await createDatabase(t)
  const server = spawnServer(t, { env: { DATABASE_URL: databaseUrl } })
  const { polls, pushes, release, stored } = await makeBusy(t, await readyUrl(server), databaseUrl)
  server.process.kill('SIGTERM')

  const answers = await polls
  t.equal(answers.filter(answer => answer.status === 200 && answer.json.messages.length === 0).length, POLLS)
  t.notOk(server.hasEnded(), 'it waits for the pushes')
  await release()
  t.same((await pushes).map(answer => answer.status), Array(PUSHES).fill(201))
  t.equal(await server.ended, 0, server.output())
  t.same(await stored(), Array.from({ length: PUSHES }, (_, i) => `t-${i}`).sort())
  const sql = connect(t, databaseUrl)
  t.same([...await sql`select pid from pg_stat_activity where application_name like 'regent%' and datname = current_database()`], [], 'its connections are closed')
})

t.test('SIGTERM while the database refuses: pushes are answered 503 and are not stored', async t => {
  const databaseUrl = await createDatabase(t)
  const server = spawnServer(t, { env: { DATABASE_URL: databaseUrl } })
  const { pushes, release, stored } = await makeBusy(t, await readyUrl(server), databaseUrl)
  server.process.kill('SIGTERM')
  await saysStopping(server)

  const sql = connect(t, databaseUrl)
  let areAnswered = false
  const answers = pushes.finally(() => { areAnswered = true })
  await until(async () => {
    await sql`select pg_cancel_backend(pid) from pg_locks where relation = 'regent.segments'::regclass and not granted`
    return areAnswered
  })
  for (const { status, json, headers } of await answers) {
    t.match({ status, json }, { status: 503, json: { code: 'RGT_DATABASE_SLOW', retryable: true } })
    t.ok(headers.get('retry-after'))
  }
  t.equal(await server.ended, 0, server.output())
  await release()
  t.same(await stored(), [])
})

t.test('SIGTERM under load: what was answered 201 is stored', async t => {
  const databaseUrl = await createDatabase(t)
  const server = spawnServer(t, { env: { DATABASE_URL: databaseUrl } })
  const url = await readyUrl(server)
  const acknowledged: string[] = []
  const strange: Answer[] = []
  const clients = Array.from({ length: 16 }, async (_, client) => {
    for (let i = 0; ; i++) {
      const id = `${client}-${i}`
      try {
        const answer = await push(url, `q-${client % 4}`, id)
        if (answer.status === 201) acknowledged.push(id)
        else if (answer.status !== 503) strange.push(answer)
      } catch {
        // It does not listen any more.
        return
      }
    }
  })
  await until(() => acknowledged.length > 200)
  server.process.kill('SIGTERM')
  t.equal(await server.ended, 0, server.output())
  await Promise.all(clients)
  t.same(strange, [])
  const sql = connect(t, databaseUrl)
  const stored = new Set((await sql`select transaction_id from regent.messages`).map(row => row.transaction_id as string))
  t.same(acknowledged.filter(id => !stored.has(id)), [])
})

t.test('connections without a request and stalled ones do not hold up the end', async t => {
  const databaseUrl = await createDatabase(t)
  const env = { DATABASE_URL: databaseUrl, SHUTDOWN_TIMEOUT: '4000' }
  for (const [what, sent] of [['nothing sent', ''], ['half a request', 'POST /api/v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{']] as const) {
    const server = spawnServer(t, { env })
    const { port } = new URL(await readyUrl(server))
    const socket = connectSocket(Number(port), '127.0.0.1')
    socket.on('error', () => {})
    t.teardown(() => { socket.destroy() })
    await new Promise(resolve => socket.once('connect', resolve))
    if (sent !== '') socket.write(sent)
    // Another connection's answer: the server has seen the first one by then.
    await request(`http://127.0.0.1:${port}/health`)
    server.process.kill('SIGTERM')
    t.equal(await server.ended, 0, `${what}: ${server.output()}`)
  }
})

t.test('a repeated signal', async t => {
  t.test('that belongs to the first one changes nothing', async t => {
    const databaseUrl = await createDatabase(t)
    const server = spawnServer(t, { env: { DATABASE_URL: databaseUrl } })
    const { pushes, release } = await makeBusy(t, await readyUrl(server), databaseUrl)
    server.process.kill('SIGINT')
    await saysStopping(server)
    server.process.kill('SIGINT')
    await release()
    t.same((await pushes).map(answer => answer.status), Array(PUSHES).fill(201))
    t.equal(await server.ended, 0, server.output())
  })

  t.test('that comes later ends it at once', async t => {
    const databaseUrl = await createDatabase(t)
    const server = spawnServer(t, { env: { DATABASE_URL: databaseUrl, SHUTDOWN_TIMEOUT: '600000' } })
    const { pushes, release } = await makeBusy(t, await readyUrl(server), databaseUrl)
    const cut = t.rejects(pushes)
    server.process.kill('SIGTERM')
    await saysStopping(server)
    // Sent until it is taken for a second one: which one that is depends on the clock.
    await until(() => {
      server.process.kill('SIGTERM')
      return server.hasEnded()
    })
    t.equal(await server.ended, 1)
    t.match(server.output(), 'stopped at once by a second signal')
    await cut
    await release()
  })
})

t.test('npm start', async t => {
  // A copy without the build before it: other tests use the build that is here.
  const folder = t.testdir({})
  cpSync(join(projectDir, 'dist'), join(folder, 'dist'), { recursive: true })
  const { scripts, ...manifest } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, scripts: { start: scripts.start } }))
  symlinkSync(join(projectDir, 'node_modules'), join(folder, 'node_modules'))
  const dataDir = makeFolder(t)

  for (const [how, send] of [
    ['SIGTERM to npm', server => { server.process.kill('SIGTERM') }],
    ['^C in its terminal', server => { server.signalGroup('SIGINT') }]
  ] as Array<[string, (server: ServerProcess) => void]>) {
    t.test(`${how} ends it cleanly, with its parked polls answered`, async t => {
      const server = spawnServer(t, { env: { DATA_DIR: dataDir }, command: ['npm', 'start'], cwd: folder })
      const url = await readyUrl(server)
      const poll = request(`${url}/api/v1/pop/queue/q?wait=true&timeout=60000`)
      await until(async () => (await request(`${url}/health`)).json.load.parkedPops === 1)
      send(server)
      t.match(await poll, { status: 200, json: { messages: [] } })
      t.equal(await server.ended, 0, server.output())
      t.match(server.output(), '"stopped"')
    })
  }
})
