import { spawn } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { chooseAccount, runAs } from '../../services/embedded-postgres/account.ts'
import { locateNativeDir, makeSymlinks, prepareBinaries } from '../../services/embedded-postgres/binaries.ts'
import { startEmbeddedPostgres } from '../../services/embedded-postgres/start.ts'
import {
  canBecomeOther, compileService, findProcesses, isRoot, makeFolder, makeSubfolder, NOBODY, query, serverPid, settings, silent,
  spawnChild, start, waitFor, waitForReady
} from '../fixtures/embedded-postgres.ts'

const failed = { code: 'RGT_EMBEDDED_FAILED' }
const compiled = compileService(t)

// A cluster takes a second to make: tests that do not need a fresh one share a copy of this one.
const template = makeFolder(t)
const templateServer = await startEmbeddedPostgres({ dataDir: template, log: silent, settings })
await templateServer.stop()

function makeDataDir (t: Test): string {
  const dataDir = makeFolder(t)
  const cluster = join(dataDir, 'postgres')
  cpSync(join(template, 'postgres'), cluster, { recursive: true })
  chmodSync(cluster, 0o700)
  return dataDir
}

t.test('keeps its data over a restart', async t => {
  const dataDir = join(makeFolder(t), 'made', 'by', 'start')
  const first = await start(t, dataDir)
  await query(first, 'create table kept as select 42 as n')
  await first.stop()
  t.same(await first.exited, { expected: true, code: 0, signal: null })
  await first.stop()

  const second = await start(t, dataDir)
  t.same(await query(second, 'select n from kept'), [{ n: 42 }])
  t.match(second, { port: 5432, user: 'postgres', database: 'postgres', version: /^\d+\.\d+/ })
})

t.test('is durable, closed to the network and to other users', async t => {
  const dataDir = makeDataDir(t)
  const server = await start(t, dataDir, { max_connections: '33', listen_addresses: '*' })
  const rows = await query(server, `select name, setting from pg_settings where name in ('fsync', 'synchronous_commit',
    'listen_addresses', 'max_connections', 'server_encoding', 'autovacuum_naptime')`)
  t.same(Object.fromEntries(rows.map(row => [row['name'], row['setting']])), {
    fsync: 'on',
    synchronous_commit: 'on',
    listen_addresses: '',
    max_connections: '33',
    server_encoding: 'UTF8',
    autovacuum_naptime: '10'
  })
  t.equal(statSync(join(dataDir, 'postgres')).mode & 0o777, 0o700)
  const pid = serverPid(dataDir)
  const [postmaster] = findProcesses(dataDir).filter(found => found.pid === pid)
  t.equal(postmaster?.pgid, pid, 'has a process group of its own, out of reach of ^C')
})

t.test('ends when its process is killed, and the next start does not have to wait for that', async t => {
  const dataDir = makeDataDir(t)
  const child = spawnChild(t, compiled, dataDir, 'stay')
  await waitForReady(child)
  child.process.kill('SIGKILL')
  await child.ended
  const next = await start(t, dataDir)
  t.same(await query(next, 'select 1 as n'), [{ n: 1 }])
  await next.stop()

  const again = spawnChild(t, compiled, dataDir, 'stay')
  await waitForReady(again)
  again.process.kill('SIGKILL')
  await waitFor('no process left', 2_000, () => findProcesses(dataDir).length === 0)
  t.match(readFileSync(join(dataDir, 'postgres.log'), 'utf8'), /fast shutdown request/)
})

t.test('ends with its process although its watcher was killed before', async t => {
  const dataDir = makeDataDir(t)
  const child = spawnChild(t, compiled, dataDir, 'stay')
  await waitForReady(child)
  const findWatcher = () => findProcesses('read -r pid').find(found => found.ppid === child.process.pid)
  const first = await waitFor('watcher', 2_000, findWatcher)
  process.kill(first.pid, 'SIGKILL')
  await waitFor('a new watcher', 2_000, () => {
    const found = findWatcher()
    return found !== undefined && found.pid !== first.pid
  })
  child.process.kill('SIGKILL')
  await child.ended
  await waitFor('no process left', 2_000, () => findProcesses(dataDir).length === 0)
})

t.test('refuses a folder on which a server runs, and leaves that one alone', async t => {
  const dataDir = makeDataDir(t)
  const first = await start(t, dataDir)
  const pid = serverPid(dataDir)
  const second = startEmbeddedPostgres({ dataDir, log: silent })
  await t.rejects(second, { code: 'RGT_EMBEDDED_IN_USE', message: new RegExp(`process id ${pid} .*${dataDir}`) })
  t.equal(serverPid(dataDir), pid)
  t.same(await query(first, 'select 1 as n'), [{ n: 1 }])
})

t.test('refuses a server of another process space by its socket', async t => {
  const dataDir = makeDataDir(t)
  const first = await start(t, dataDir)
  const pidFile = join(dataDir, 'postgres', 'postmaster.pid')
  const text = readFileSync(pidFile, 'utf8')
  writeFileSync(pidFile, text.replace(/^\d+/, String(process.pid)))
  await t.rejects(startEmbeddedPostgres({ dataDir, log: silent }), { code: 'RGT_EMBEDDED_IN_USE' })
  writeFileSync(pidFile, text)
  t.same(await query(first, 'select 1 as n'), [{ n: 1 }])
})

t.test('is not held up by a pid file that names another live process', async t => {
  const dataDir = makeDataDir(t)
  const cluster = join(dataDir, 'postgres')
  const { uid, gid } = statSync(cluster)
  // Of the same user: PostgreSQL sees through one of another user by itself.
  const other = spawn('sleep', ['60'], { stdio: 'ignore', ...(isRoot ? { uid, gid } : {}) })
  t.teardown(() => other.kill('SIGKILL'))
  const text = [other.pid, cluster, 1, 5432, cluster, '', ' 1 1', 'ready   ', ''].join('\n')
  for (const name of ['postmaster.pid', '.s.PGSQL.5432.lock']) {
    writeFileSync(join(cluster, name), text)
    if (isRoot) chownSync(join(cluster, name), uid, gid)
  }
  const server = await start(t, dataDir)
  t.same(await query(server, 'select 1 as n'), [{ n: 1 }])
  t.equal(other.exitCode, null)
})

t.test('is not held up by an empty pid file', async t => {
  const dataDir = makeDataDir(t)
  writeFileSync(join(dataDir, 'postgres', 'postmaster.pid'), '')
  const server = await start(t, dataDir)
  t.same(await query(server, 'select 1 as n'), [{ n: 1 }])
})

t.test('makes the cluster again after an interrupted initdb', async t => {
  const dataDir = makeFolder(t)
  const child = spawnChild(t, compiled, dataDir, 'stay')
  await waitFor('initdb at work', 20_000, () => readdirSync(dataDir).some(name =>
    name.startsWith('postgres.new-') && existsSync(join(dataDir, name, 'PG_VERSION'))))
  child.process.kill('SIGKILL')
  await child.ended
  t.notOk(existsSync(join(dataDir, 'postgres')))

  const server = await start(t, dataDir)
  t.same(await query(server, 'select 1 as n'), [{ n: 1 }])
  t.same(readdirSync(dataDir).filter(name => name.includes('.new-')), [])
})

t.test('uses a private short socket folder for a long data folder', async t => {
  const dataDir = makeSubfolder(makeFolder(t), 'long-'.repeat(12), 'folder'.repeat(12))
  const server = await start(t, dataDir)
  t.not(dirname(server.socketDir), dataDir)
  t.equal(statSync(server.socketDir).mode & 0o777, 0o700)
  t.equal(statSync(server.socketDir).uid, statSync(join(dataDir, 'postgres')).uid)
  t.same(await query(server, 'select 1 as n'), [{ n: 1 }])
  await server.stop()
  t.notOk(existsSync(server.socketDir))

  const socketFolders = () => readdirSync(tmpdir()).filter(name => name.startsWith('regent-pg-'))
  const before = socketFolders()
  const child = spawnChild(t, compiled, dataDir, 'stay')
  await waitForReady(child)
  const [made] = socketFolders().filter(name => !before.includes(name))
  child.process.kill('SIGKILL')
  await child.ended
  await waitFor('socket folder removed', 4_000, () => made !== undefined && !existsSync(join(tmpdir(), made)))
})

t.test('runs as an ordinary user and leaves nothing behind that keeps the process alive', { skip: isRoot && !canBecomeOther }, async t => {
  const dataDir = makeFolder(t)
  if (isRoot) chownSync(dataDir, NOBODY, NOBODY)
  const child = spawnChild(t, compiled, dataDir, 'once', isRoot ? { uid: NOBODY, gid: NOBODY } : {})
  t.equal(await child.ended, 0, child.output())
  t.match(child.output(), /ready\nanswer 42\nstopped\n/)
  t.same(findProcesses(dataDir), [])
})

t.test('run by root', { skip: !isRoot }, async t => {
  const toNobody = { uid: NOBODY, gid: NOBODY, identity: { uid: NOBODY, gid: NOBODY }, prefix: [] }

  t.test('serves below a folder closed to other users', async t => {
    const dataDir = makeSubfolder(makeFolder(t, 0o700), 'data')
    const { ok } = await runAs({ ...toNobody, prefix: ['setpriv', '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search', '--'] }, 'true')
    if (!ok) return t.rejects(start(t, dataDir), { ...failed, message: dirname(dataDir) })
    const server = await start(t, dataDir)
    t.same(await query(server, 'select 1 as n'), [{ n: 1 }])
    const status = readFileSync(`/proc/${serverPid(dataDir)}/status`, 'utf8')
    t.match(status, /^Uid:\s+65534\s+65534\s+65534\s+65534$/m)
    t.match(status, /^CapEff:\s+0000000000000004$/m, 'with the right to search and read, and no other')
  })

  t.test('names the closed folder when nothing opens it', async t => {
    const closed = makeFolder(t, 0o700)
    const dataDir = makeSubfolder(closed, 'data')
    const path = process.env['PATH']
    process.env['PATH'] = '/nowhere'
    t.teardown(() => { process.env['PATH'] = path })
    await t.rejects(chooseAccount(dataDir, join(dataDir, 'postgres'), silent), { ...failed, message: `chmod o+x ${closed})` })
  })

  t.test('leaves a cluster to the ordinary user who made it', async t => {
    const dataDir = makeDataDir(t)
    const cluster = join(dataDir, 'postgres')
    const account = await chooseAccount(dataDir, cluster, silent)
    t.equal(account.uid, NOBODY, 'not to root')
    const daemon = 1
    chownSync(cluster, daemon, daemon)
    t.match(await chooseAccount(dataDir, cluster, silent), { uid: daemon, gid: daemon })
  })

  t.test('takes over a cluster that was copied back as root', async t => {
    const dataDir = makeDataDir(t)
    const { ok } = await runAs({ ...toNobody, identity: {} }, 'chown', '-R', '0:0', dataDir)
    t.ok(ok)
    const server = await start(t, dataDir)
    t.same(await query(server, 'select 1 as n'), [{ n: 1 }])
  })

  t.test('refuses an ordinary user on the folder of another', { skip: !canBecomeOther }, async t => {
    const dataDir = makeDataDir(t)
    chownSync(join(dataDir, 'postgres'), NOBODY, NOBODY)
    const daemon = 1
    const child = spawnChild(t, compiled, dataDir, 'once', { uid: daemon, gid: daemon })
    t.not(await child.ended, 0)
    t.match(child.output(), /belongs to user id 65534/)
  })
})

t.test('reports a crash and starts again after it', async t => {
  const dataDir = makeDataDir(t)
  const server = await start(t, dataDir)
  await query(server, 'create table kept as select 42 as n')
  process.kill(serverPid(dataDir), 'SIGKILL')
  t.same(await server.exited, { expected: false, code: null, signal: 'SIGKILL' })
  await server.stop()
  const next = await start(t, dataDir)
  t.same(await query(next, 'select n from kept'), [{ n: 42 }])
})

t.test('failures say why', async t => {
  await t.rejects(startEmbeddedPostgres({ dataDir: makeDataDir(t), log: silent, settings: { shared_buffers: 'many' } }),
    { ...failed, message: /invalid value for parameter "shared_buffers"/ })

  const otherVersion = makeDataDir(t)
  writeFileSync(join(otherVersion, 'postgres', 'PG_VERSION'), '9\n')
  await t.rejects(startEmbeddedPostgres({ dataDir: otherVersion, log: silent }), { ...failed, message: 'was made by PostgreSQL 9,' })

  const strange = makeFolder(t)
  mkdirSync(join(strange, 'postgres', 'holiday-pictures'), { recursive: true })
  await t.rejects(startEmbeddedPostgres({ dataDir: strange, log: silent }), { ...failed, message: 'is not a PostgreSQL cluster' })
  t.ok(existsSync(join(strange, 'postgres', 'holiday-pictures')))

  const file = join(makeFolder(t), 'file')
  writeFileSync(file, '')
  await t.rejects(startEmbeddedPostgres({ dataDir: file, log: silent }), failed)
  t.throws(() => locateNativeDir('plan9', 'x64'), { code: 'RGT_EMBEDDED_UNSUPPORTED', message: 'DATABASE_URL' })
})

t.test('moves a log that has grown too large aside', async t => {
  const dataDir = makeDataDir(t)
  const log = join(dataDir, 'postgres.log')
  writeFileSync(log, '')
  truncateSync(log, 11 * 1024 * 1024)
  await start(t, dataDir)
  t.ok(statSync(log).size < 100_000)
  t.equal(statSync(`${log}.1`).size, 11 * 1024 * 1024)
})

t.test('makes missing library links, in a copy when the package cannot be completed', async t => {
  const packageDir = makeFolder(t)
  const nativeDir = join(packageDir, 'native')
  writeFileSync(join(packageDir, 'package.json'), '{ "version": "1.2.3" }')
  cpSync(locateNativeDir(), nativeDir, { recursive: true, filter: path => !path.endsWith('.a') && !lstatSync(path).isSymbolicLink() })
  const dataDir = makeFolder(t)
  const account = await chooseAccount(dataDir, join(dataDir, 'postgres'), silent)
  const postgres = join(nativeDir, 'bin', 'postgres')
  const list: Array<{ target: string }> = JSON.parse(readFileSync(join(nativeDir, 'pg-symlinks.json'), 'utf8'))
  // Without links there is nothing to make on this platform.
  if (list.length > 0) t.notOk((await runAs(account, postgres, '--version')).ok, 'does not run without')

  t.ok(await makeSymlinks(nativeDir))
  t.ok((await runAs(account, postgres, '--version')).ok)
  t.ok(await makeSymlinks(nativeDir), 'finds them made')

  // Root may write anywhere, so there the copy is made because the package is closed to the server's user.
  for (const { target } of list) rmSync(join(packageDir, target))
  for (const folder of [nativeDir, join(nativeDir, 'lib')]) chmodSync(folder, isRoot ? 0o700 : 0o555)
  t.teardown(() => { for (const folder of [nativeDir, join(nativeDir, 'lib')]) chmodSync(folder, 0o755) })
  const binaries = await prepareBinaries(nativeDir, dataDir, account, silent)
  t.ok(binaries.postgres.startsWith(join(dataDir, 'postgres-binaries-1.2.3')))
  t.match(binaries.version, /^\d+\.\d+/)
  t.same(await prepareBinaries(nativeDir, dataDir, account, silent), binaries, 'uses the copy again')
})

t.test('says so when the binaries do not run on this system', async t => {
  const nativeDir = makeSubfolder(makeFolder(t), 'native')
  makeSubfolder(nativeDir, 'bin')
  symlinkSync('/bin/false', join(nativeDir, 'bin', 'postgres'))
  const dataDir = makeFolder(t)
  const account = await chooseAccount(dataDir, join(dataDir, 'postgres'), silent)
  await t.rejects(prepareBinaries(nativeDir, dataDir, account, silent), { code: 'RGT_EMBEDDED_UNSUPPORTED', message: 'DATABASE_URL' })
})
