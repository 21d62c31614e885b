// Runs tap against a real PostgreSQL: the one in REGENT_TEST_DATABASE_URL, or an embedded one started for the run.
// Arguments go to tap. Needs a build: the embedded PostgreSQL is started from dist.
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const log = { info () {}, warn: console.error, error: console.error }
const env = { ...process.env }
// Without a terminal, results only: no progress that is overwritten.
if (!process.stdout.isTTY) env.CI ??= 'true'
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

const tap = spawn(process.execPath, ['node_modules/.bin/tap', ...process.argv.slice(2)], { stdio: 'inherit', env })
const code = await new Promise(resolve => tap.on('exit', (exitCode, signal) => { resolve(signal === null ? exitCode : 1) }))
await stop()
process.exitCode = code ?? 1
