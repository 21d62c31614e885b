// A version with a new migration and new functions is rolled out, server by server, under load.
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { loadMigrations } from '../../services/database/migrate.ts'
import { Cluster } from '../fault/suite/cluster.ts'
import { FILE_TIMEOUT_MS, scenario } from '../fault/suite/scenario.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { projectDir } from '../fixtures/server-process.ts'

t.setTimeout(FILE_TIMEOUT_MS)

// The schema before: without the newest migration and the functions that came with it, and with those that it has replaced
// as they were, in the folder.
const NEWEST = '005-retention'
const CAME_WITH_IT = ['150-retention.sql', '155-eviction.sql', '165-analytics.sql']
const REPLACED = join(projectDir, 'test/fixtures/previous-schema')

/** A build that knows the schema before, in a folder of its own. */
function previousBuild (t: Test): string {
  const folder = makeFolder(t)
  mkdirSync(join(folder, 'dist'))
  for (const name of ['dist', 'package.json']) cpSync(join(projectDir, name), join(folder, name), { recursive: true })
  symlinkSync(join(projectDir, 'node_modules'), join(folder, 'node_modules'))
  const database = join(folder, 'dist/services/database')
  rmSync(join(database, 'migrations', `${NEWEST}.sql`))
  for (const name of CAME_WITH_IT) rmSync(join(database, 'functions', name))
  for (const name of readdirSync(REPLACED)) cpSync(join(REPLACED, name), join(database, 'functions', name))
  return folder
}

const cluster = await Cluster.start(t)
const { migrations, functions } = await loadMigrations()

/** The steps that a database has had, and which functions it has. */
async function schemaOf (database: string): Promise<{ newest: string, isOurs: boolean }> {
  const rows = await cluster.run(database, 'select name, checksum from regent.migrations order by name collate "C"')
  return { newest: rows.filter(row => row.name !== 'functions').at(-1)?.name, isOurs: rows.some(row => row.name === 'functions' && row.checksum === functions.checksum) }
}

t.test('servers of the version before serve on while each is replaced, also one that starts again in between', async t => {
  t.equal(migrations.at(-1)?.name, NEWEST, 'the version before is the one before the newest migration')
  const build = previousBuild(t)
  await scenario(t, cluster, { servers: 2, build }, async ({ database, servers, journal, untilServing }) => {
    const restart = async (server: number, what: string): Promise<void> => {
      journal.fault(what)
      t.equal(await servers.stop(server), 0, `${what}: it ends in order`)
      await servers.start(server)
      await untilServing(100)
    }
    t.match(await schemaOf(database), { newest: migrations.at(-2)?.name, isOurs: false })

    servers.install(0, projectDir)
    await restart(0, 'first server replaced')
    t.match(await schemaOf(database), { newest: NEWEST, isOurs: true }, 'brought up to date while the other served')

    journal.fault('old server killed')
    await servers.kill(1)
    await servers.start(1)
    await untilServing(100)
    t.match(await schemaOf(database), { newest: NEWEST, isOurs: true }, 'the version before leaves the new functions in place')

    servers.install(1, projectDir)
    await restart(1, 'second server replaced')
  })
})
