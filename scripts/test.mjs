// Runs tap against a real PostgreSQL: the one in REGENT_TEST_DATABASE_URL, or an embedded one started for the run.
// Arguments go to tap. Needs a build: the embedded PostgreSQL is started from dist. Everything else is compiled here, once.
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileTests } from './compile-tests.mjs'

const log = { info () {}, warn: console.error, error: console.error }
const env = { ...process.env }
// Without a terminal, results only: no progress that is overwritten.
if (!process.stdout.isTTY) env.CI ??= 'true'
env.REGENT_TEST_COMPILED = await mkdtemp(join(tmpdir(), 'regent-compiled-'))
await compileTests(env.REGENT_TEST_COMPILED)
let stop = async () => {}

if (env.REGENT_TEST_DATABASE_URL === undefined) {
  const { startEmbeddedPostgres } = await import('../dist/services/embedded-postgres/start.js')
  const dataDir = await mkdtemp(join(tmpdir(), 'regent-test-'))
  // Started by root, PostgreSQL and whatever connects to its socket run as other users.
  await chmod(dataDir, 0o711)
  const database = await startEmbeddedPostgres({ dataDir, log, settings: { max_connections: '400' } })
  env.REGENT_TEST_DATABASE_URL = `postgres://${database.user}@localhost/postgres?host=${encodeURIComponent(database.socketDir)}&port=${database.port}`
  stop = async () => {
    await database.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

const loader = new URL('load-compiled.mjs', import.meta.url).href
const tap = spawn(process.execPath, ['node_modules/.bin/tap', `--node-arg=--import=${loader}`, ...process.argv.slice(2)], { stdio: 'inherit', env })
const code = await new Promise(resolve => tap.on('exit', (exitCode, signal) => { resolve(signal === null ? exitCode : 1) }))
await stop()
await rm(env.REGENT_TEST_COMPILED, { recursive: true, force: true })
process.exitCode = code ?? 1
