import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FileBuffer } from '../../services/buffer/file-buffer.ts'
import { hasCode } from '../../services/errors.ts'
import { MemoryLog, appendText, drain, faultyFileSystem, logFiles, makeFolder, makeQuickFolder, openBuffer, quarantined, systemError, text } from './support.ts'
import type { Call, Operation } from './support.ts'

const LIMITS = { maxRecords: 100, maxBytes: 1 << 20 }
const OPERATIONS: Operation[] = ['open', 'readdir', 'write', 'writev', 'datasync', 'sync', 'rename', 'mkdir', 'truncate', 'unlink', 'stat', 'close']

/** A disk that fails from the Nth operation of a kind on, for so many of them. */
class Disk {
  seen = 0
  failed = 0
  readonly fs = faultyFileSystem({ fault: call => this.#fault(call) })
  readonly #matches: (call: Call) => boolean
  readonly #from: number
  readonly #count: number
  readonly #error: Error

  constructor (operation: Operation, from: number, count: number, error = systemError('EIO'), path = '') {
    this.#matches = call => call.operation === operation && call.path.includes(path)
    this.#from = from
    this.#count = count
    this.#error = error
  }

  #fault (call: Call): Error | undefined {
    if (!this.#matches(call)) return undefined
    this.seen++
    if (this.seen < this.#from || this.seen >= this.#from + this.#count) return undefined
    this.failed++
    return this.#error
  }
}

/**
 * A life of a buffer: opens it over damage, appends over several files, sets aside, releases, closes, opens again, and
 * drains. Whatever fails, each record that was acknowledged and not released comes back, in order and unchanged.
 */
async function live (directory: string, disk: Disk, fail: (message: string) => void): Promise<void> {
  const options = { directory, maxBytes: 1 << 20, fileBytes: 150, retryPauseMs: 0, fs: disk.fs }
  const log = new MemoryLog()
  const sick = await openSick({ ...options, log })
  const acknowledged: string[] = []
  const released = new Set<string>()
  const tried: string[] = []
  async function append (value: string): Promise<void> {
    tried.push(value)
    try {
      await appendText(sick, value)
      acknowledged.push(value)
    } catch (error) {
      if (!hasCode(error, 'RGT_BUFFER_UNAVAILABLE')) fail(`rejected with ${String(error)}`)
    }
  }
  for (let i = 0; i < 6; i++) await append(`one ${i}`)
  await Promise.all(Array.from({ length: 6 }, async (_, i) => { await append(`many ${i}`) }))
  const before = acknowledged.length
  for (let round = 0; round < 3; round++) {
    try {
      const entries = await sick.peek({ ...LIMITS, maxRecords: 3 })
      const [first, second] = entries
      if (first !== undefined) {
        await sick.release(first.sequence)
        released.add(text(first.payload))
      }
      if (second !== undefined) {
        await sick.setAside(second.sequence, 'poison')
        released.add(text(second.payload))
      }
    } catch (error) {
      if (!hasCode(error, 'RGT_BUFFER_UNAVAILABLE')) fail(`reading rejected with ${String(error)}`)
    }
    await append(`after ${round}`)
  }
  // The disk is well by now, or after a few more tries.
  for (let i = 0; i < 6; i++) await append(`late ${i}`)
  if (acknowledged.length < before + 6) fail('appends do not work again')
  await sick.close()
  const healthy = await FileBuffer.open({ ...options, fs: faultyFileSystem({ fault: () => undefined }), log })
  if (healthy.recovery.missingRecords > 0) fail(`${healthy.recovery.missingRecords} records missing`)
  const found = await drain(healthy)
  const aside = Object.values(quarantined(directory)).map(text)
  if (healthy.stats.records !== 0 || healthy.stats.state !== 'empty' || logFiles(directory).length > 0) fail(`left: ${JSON.stringify(healthy.stats)} ${logFiles(directory).join()}`)
  await healthy.close()
  for (const value of acknowledged) if (!found.includes(value) && !released.has(value)) fail(`lost: ${value}`)
  for (const value of found) if (!tried.includes(value) && value !== 'old 1' && value !== 'old 3') fail(`never appended: ${value}`)
  if (new Set(found).size !== found.length) fail(`doubled: ${found.join()}`)
  const order = found.map(value => ['old 1', 'old 3', ...tried].indexOf(value))
  if (order.some((place, i) => place <= (order[i - 1] ?? -1))) fail(`out of order: ${found.join()}`)
  for (const value of ['old 1', 'old 3']) if (!found.includes(value) && !released.has(value)) fail(`lost: ${value}`)
  if (!aside.some(value => value.includes('old 2')) && !existsSync(join(directory, 'quarantine', '00000001.log'))) fail('the damaged record is not in the quarantine')
}

/** Opening may fail, with a clear error; trying again works once the disk does. */
async function openSick (options: Parameters<typeof FileBuffer.open>[0]): Promise<FileBuffer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await FileBuffer.open(options)
    } catch (error) {
      if (!hasCode(error, 'RGT_BUFFER_UNUSABLE') || attempt === 5) throw error
    }
  }
}

/** A folder with three records, the second damaged, and a torn end. */
async function makeOld (directory: string): Promise<void> {
  const buffer = await FileBuffer.open({ directory, maxBytes: 1 << 20, fileBytes: 1 << 20, log: new MemoryLog() })
  for (const value of ['old 1', 'old 2', 'old 3']) await appendText(buffer, value)
  await buffer.close()
  const path = join(directory, '00000001.log')
  const bytes = readFileSync(path)
  const at = bytes.indexOf('old 2')
  bytes[at - 1] = (bytes[at - 1] ?? 0) ^ 1
  writeFileSync(path, Buffer.concat([bytes, Buffer.from('torn')]))
}

for (const operation of OPERATIONS) {
  for (const [what, count] of [['alone', 1], ['and the two after it', 3]] as const) {
    t.test(`the Nth ${operation} fails, ${what}, for every N`, async t => {
      const root = makeQuickFolder(t)
      let n = 1
      for (; ; n++) {
        const directory = join(root, String(n))
        await makeOld(directory)
        const disk = new Disk(operation, n, count)
        await live(directory, disk, message => { t.fail(`N = ${n}: ${message}`) })
        rmSync(directory, { recursive: true })
        if (disk.failed === 0) break
      }
      t.ok(n > 1, `failed for N up to ${n - 1}`)
    })
  }
}

t.test('nothing is acknowledged to a file whose name is not durable', async t => {
  const directory = makeFolder(t)
  let isSick = false
  const synced: string[] = []
  const fs = faultyFileSystem({
    fault ({ operation, path }) {
      if (operation === 'unlink') synced.push('unlink')
      if (operation !== 'sync' || path !== directory) return undefined
      synced.push('folder')
      return isSick ? systemError('EIO') : undefined
    }
  })
  const buffer = await openBuffer(t, { directory, fs, fileBytes: 100 })
  isSick = true
  await t.rejects(appendText(buffer, 'a'), { code: 'RGT_BUFFER_UNAVAILABLE' })
  isSick = false
  await appendText(buffer, 'b'.repeat(50))
  isSick = true
  await t.rejects(appendText(buffer, 'c'.repeat(50)), { code: 'RGT_BUFFER_UNAVAILABLE' }, 'after rotation too')
  isSick = false
  synced.length = 0
  t.same(await drain(buffer), ['b'.repeat(50)])
  t.ok(synced.lastIndexOf('folder') > synced.lastIndexOf('unlink') && synced.includes('unlink'), 'deletions are made durable')
})

t.test('a short write is a failed write: its records go to a new file', async t => {
  const directory = makeFolder(t)
  const disk = new Disk('writev', 2, 1, new Error('short'))
  const buffer = await openBuffer(t, { directory, fs: disk.fs })
  await appendText(buffer, 'a')
  t.equal(await appendText(buffer, 'b'), 2)
  t.equal(await appendText(buffer, 'c'), 3)
  t.same(logFiles(directory), ['00000001.log', '00000002.log'], 'and the old one is not written to again')
  t.same(await drain(buffer), ['a', 'b', 'c'])
})

t.test('when writing to the new file fails too its records are refused, and their numbers given again', async t => {
  const directory = makeFolder(t)
  const disk = new Disk('writev', 2, 2, new Error('short'))
  const buffer = await openBuffer(t, { directory, fs: disk.fs, retryPauseMs: 0 })
  await appendText(buffer, 'a')
  await t.rejects(appendText(buffer, 'b'), { code: 'RGT_BUFFER_UNAVAILABLE', retryable: true, message: /only \d+ of \d+ bytes/ })
  t.equal(await appendText(buffer, 'c'), 2)
  t.same(await drain(buffer), ['a', 'c'])
})

t.test('what failed and cannot be cut off does not come back once anything was appended after it', async t => {
  const directory = makeFolder(t)
  const disk = faultyFileSystem({ fault: ({ operation }) => operation === 'truncate' || (operation === 'datasync' && isSick) ? systemError('EIO') : undefined })
  let isSick = false
  const buffer = await openBuffer(t, { directory, fs: disk })
  await appendText(buffer, 'a')
  isSick = true
  await t.rejects(appendText(buffer, 'failed'), { code: 'RGT_BUFFER_UNAVAILABLE' })
  isSick = false
  await appendText(buffer, 'b')
  await buffer.close()
  const again = await openBuffer(t, { directory })
  t.ok(again.recovery.voidBytes > 0)
  t.equal(again.recovery.missingRecords, 0)
  t.same(await drain(again), ['a', 'b'])
})

t.test('after two failures the disk is left alone for a while, and the next append after it tries', async t => {
  let uptimeMs = 0
  let isSick = true
  let attempts = 0
  const states: string[] = []
  const fs = faultyFileSystem({
    fault ({ operation, path }) {
      if (operation !== 'open' || !path.endsWith('.log') || !isSick) return undefined
      attempts++
      return systemError('EROFS')
    }
  })
  const buffer = await openBuffer(t, { directory: makeFolder(t), fs, retryPauseMs: 1000, uptimeMs: () => uptimeMs, onStateChange: state => { states.push(state) } })
  const refused = { code: 'RGT_BUFFER_UNAVAILABLE', message: /EROFS/ }
  await t.rejects(appendText(buffer, 'a'), refused)
  t.same([attempts, buffer.stats.state], [2, 'unavailable'])
  for (let i = 0; i < 10; i++) await t.rejects(appendText(buffer, 'c'), refused)
  uptimeMs = 999
  await t.rejects(appendText(buffer, 'c'), refused)
  t.equal(attempts, 2)
  uptimeMs = 1000
  await t.rejects(appendText(buffer, 'd'), refused)
  t.equal(attempts, 3)
  isSick = false
  uptimeMs = 2000
  t.equal(await appendText(buffer, 'e'), 1)
  t.same(await drain(buffer), ['e'])
  t.same(states, ['unavailable', 'buffering', 'empty'])
})

t.test('what waits while the disk fails is refused with it, and gives its reserve back', async t => {
  const disk = new Disk('datasync', 1, 2)
  const buffer = await openBuffer(t, { directory: makeFolder(t), fs: disk.fs, maxBytes: 2000, fileBytes: 100, retryPauseMs: 0 })
  const results = await Promise.allSettled(Array.from({ length: 10 }, async (_, i) => await appendText(buffer, `r${i}`)))
  t.same(results.map(result => result.status), Array.from({ length: 10 }, () => 'rejected'))
  const later = Array.from({ length: 20 }, (_, i) => `s${i}`)
  for (const value of later) await appendText(buffer, value)
  t.same(await drain(buffer), later)
})

t.test('a disk without space refuses, and takes records again when it has some', async t => {
  let freeBytes = 600
  const real = faultyFileSystem({ fault: () => undefined })
  const fs = {
    ...real,
    async open (path: string, flags: string, mode?: number) {
      const file = await real.open(path, flags, mode)
      return {
        ...file,
        async writev (buffers: readonly Uint8Array[], position: number) {
          const all = Buffer.concat(buffers)
          const { bytesWritten } = await file.write(all, 0, Math.min(all.length, freeBytes), position)
          freeBytes -= bytesWritten
          if (bytesWritten === 0) throw systemError('ENOSPC')
          return { bytesWritten }
        }
      }
    }
  }
  const directory = makeFolder(t)
  const buffer = await openBuffer(t, { directory, fs, fileBytes: 200 })
  const acknowledged: string[] = []
  let refused = 0
  for (let i = 0; i < 40; i++) {
    if (i === 30) freeBytes = 10_000
    await appendText(buffer, `record ${i}`).then(() => { acknowledged.push(`record ${i}`) }, error => {
      t.ok(hasCode(error, 'RGT_BUFFER_UNAVAILABLE'))
      refused++
    })
  }
  t.ok(refused > 5, `${refused} refused`)
  t.ok(acknowledged.includes('record 0') && acknowledged.includes('record 39'))
  await buffer.close()
  const again = await openBuffer(t, { directory })
  t.same(await drain(again), acknowledged)
})

t.test('a real file system without space', async t => {
  const directory = join(makeFolder(t), 'small')
  mkdirSync(directory)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', directory], { stdio: 'ignore' })
  } catch {
    t.comment('skipped: mounting a tmpfs takes root')
    return
  }
  try {
    const buffer = await FileBuffer.open({ directory: join(directory, 'buffer'), maxBytes: 1 << 20, fileBytes: 20_000, retryPauseMs: 0, log: new MemoryLog() })
    const acknowledged: string[] = []
    const append = async (i: number): Promise<boolean> => await appendText(buffer, `${i} `.padEnd(1000, 'x')).then(() => {
      acknowledged.push(String(i))
      return true
    }, error => {
      if (!hasCode(error, 'RGT_BUFFER_UNAVAILABLE')) throw error
      return false
    })
    let i = 0
    while (await append(i)) i++
    t.ok(i > 50, `${i} records fit`)
    for (let more = 0; more < 20; more++) await append(++i)
    t.equal(buffer.stats.state, 'unavailable')
    const entries = await buffer.peek({ ...LIMITS, maxRecords: 50 })
    t.equal(entries.length, 50, 'a full disk can be read')
    await buffer.release(entries.at(-1)?.sequence ?? 0)
    t.ok(await append(++i), 'draining gave space back')
    await buffer.close()
    const again = await FileBuffer.open({ directory: join(directory, 'buffer'), maxBytes: 1 << 20, fileBytes: 20_000, log: new MemoryLog() })
    t.same((await drain(again)).map(value => value.split(' ')[0]), acknowledged.slice(50))
    await again.close()
  } finally {
    execFileSync('umount', [directory])
  }
})

t.test('a file whose blocks cannot be read is set aside, and the others go on', async t => {
  const directory = makeFolder(t)
  for (const value of ['a', 'b', 'c']) {
    const buffer = await openBuffer(t, { directory })
    await appendText(buffer, value)
    await buffer.close()
  }
  const fs = faultyFileSystem({ fault: ({ operation, path }) => operation === 'read' && path.endsWith('00000002.log') ? systemError('EIO') : undefined })
  const passing = new Disk('read', 4, 1, systemError('EIO'), '.log')
  const once = await openBuffer(t, { directory, fs: passing.fs })
  t.match(once.recovery, { filesSetAside: [], records: 3 }, 'not for a fault that passes')
  t.equal(passing.failed, 1)
  await once.close()
  const buffer = await openBuffer(t, { directory, fs })
  t.match(buffer.recovery, { filesSetAside: ['00000002.log'], records: 2, missingRecords: 1 })
  t.same(await drain(buffer), ['a', 'c'])
  t.same(Object.keys(quarantined(directory)), ['00000002.log'])
})

t.test('a read that fails while draining is told, and works when the disk does', async t => {
  let isSick = false
  const fs = faultyFileSystem({ fault: ({ operation }) => operation === 'read' && isSick ? systemError('EIO') : undefined })
  const buffer = await openBuffer(t, { directory: makeFolder(t), fs })
  await appendText(buffer, 'a')
  isSick = true
  await t.rejects(buffer.peek(LIMITS), { code: 'RGT_BUFFER_UNAVAILABLE', message: /EIO/ })
  isSick = false
  t.same(await drain(buffer), ['a'])
})

t.test('damage that cannot be copied keeps its file', async t => {
  const directory = makeFolder(t)
  await makeOld(directory)
  const fs = faultyFileSystem({ fault: ({ operation, path }) => operation === 'write' && path.endsWith('.part') && !path.includes('.json') ? systemError('ENOSPC') : undefined })
  const buffer = await openBuffer(t, { directory, fs })
  t.same(await drain(buffer), ['old 1', 'old 3'])
  t.same(logFiles(directory), [])
  const kept = quarantined(directory)['00000001.log']
  t.ok(kept?.includes('old 2') === true && kept.includes('torn'), 'the damaged record and the torn end are in it')
  t.ok(readdirSync(join(directory, 'quarantine')).includes('00000001.log.json'))
})
