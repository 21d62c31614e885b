import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { FileBuffer } from '../../services/buffer/file-buffer.ts'
import { hasCode } from '../../services/errors.ts'
import { MemoryLog, appendText, drain, faultyFileSystem, logBytes, logFiles, makeFolder, openBuffer, quarantined, text } from './support.ts'

const LIMITS = { maxRecords: 100, maxBytes: 1 << 20 }
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `record ${i + 1}`)

t.test('gives records back in order, with their sequence numbers and bytes', async t => {
  const directory = join(makeFolder(t), 'made', 'here')
  const buffer = await openBuffer(t, { directory })
  t.equal(statSync(directory).mode & 0o777, 0o700)
  const payloads = [Buffer.from('a'), Buffer.alloc(0), Buffer.from([0, 255, 10, 13]), Buffer.alloc(400_000, 'x')]
  const sequences = await Promise.all(payloads.map(async payload => (await buffer.append(payload)).sequence))
  t.same(sequences, [1, 2, 3, 4])
  const entries = await buffer.peek(LIMITS)
  t.same(entries.map(entry => entry.sequence), sequences)
  for (const [i, { payload }] of entries.entries()) t.ok(payload.equals(payloads[i] ?? Buffer.from('none')), `payload ${i}`)
  t.equal(statSync(join(directory, '00000001.log')).mode & 0o777, 0o600)
})

t.test('peek gives the same until it is released, keeps to its limits, and gives one record whatever its size', async t => {
  const buffer = await openBuffer(t, { directory: makeFolder(t) })
  for (const value of ['aaaa', 'bb', 'cccccc', 'd']) await appendText(buffer, value)
  const peek = async (maxRecords: number, maxBytes: number): Promise<string[]> => (await buffer.peek({ maxRecords, maxBytes })).map(entry => text(entry.payload))
  t.same(await peek(10, 100), ['aaaa', 'bb', 'cccccc', 'd'])
  t.same(await peek(2, 100), ['aaaa', 'bb'])
  t.same(await peek(10, 6), ['aaaa', 'bb'])
  t.same(await peek(10, 1), ['aaaa'])
  t.same(await peek(0, 100), [])
  await buffer.release(2)
  t.same(await peek(10, 1), ['cccccc'])
  await buffer.release(1)
  t.same(await peek(1, 100), ['cccccc'], 'releasing an earlier record again changes nothing')
  await t.rejects(buffer.release(5), RangeError, 'what nobody has seen cannot be released')
  await buffer.release(4)
  t.same(await peek(10, 100), [])
})

t.test('begins files at their size, deletes those that are drained, and goes on with the numbers', async t => {
  const directory = makeFolder(t)
  const buffer = await openBuffer(t, { directory, fileBytes: 300 })
  const values = numbers(40)
  for (const value of values) await appendText(buffer, value)
  const files = logFiles(directory)
  t.ok(files.length >= 5, `${files.length} files`)
  for (const name of files) t.ok(statSync(join(directory, name)).size <= 300, name)
  t.equal(buffer.stats.bytes, logBytes(directory))
  const half = (await buffer.peek({ ...LIMITS, maxRecords: 20 })).at(-1)
  await buffer.release(half?.sequence ?? 0)
  t.ok(logFiles(directory).length < files.length)
  t.equal(buffer.stats.bytes, logBytes(directory))
  t.same(await drain(buffer), values.slice(20))
  t.same(logFiles(directory), [], 'nothing is left, the last file included')
  t.match(buffer.stats, { state: 'empty', records: 0, bytes: 0, oldestAgeMs: null })
  t.equal(await appendText(buffer, 'next'), 41)
  await buffer.close()
  const again = await openBuffer(t, { directory })
  t.same(await drain(again), ['next'])
  await again.close()
  const empty = await openBuffer(t, { directory })
  t.equal(await appendText(empty, 'after'), 42, 'also when nothing but the mark is left')
})

t.test('a restart gives back what was not released, and no more', async t => {
  const directory = makeFolder(t)
  const values = numbers(30)
  let buffer = await openBuffer(t, { directory, fileBytes: 250 })
  for (const value of values) await appendText(buffer, value)
  for (const upTo of [1, 2, 3, 9, 10, 29]) {
    await buffer.peek(LIMITS)
    await buffer.release(upTo)
    await buffer.close()
    buffer = await openBuffer(t, { directory, fileBytes: 250 })
    t.match(buffer.recovery, { records: 30 - upTo, tornBytes: 0, voidBytes: 0, damaged: 0, missingRecords: 0, filesSetAside: [] })
    t.equal(buffer.stats.records, 30 - upTo)
    t.same((await buffer.peek(LIMITS)).map(entry => text(entry.payload)), values.slice(upTo))
  }
})

t.test('1,000 appends at once share their fsyncs and keep their order', async t => {
  let syncs = 0
  let writes = 0
  const fs = faultyFileSystem({
    fault ({ operation, path }) {
      if (!path.endsWith('.log')) return undefined
      if (operation === 'datasync') syncs++
      if (operation === 'writev') writes++
      return undefined
    }
  })
  const buffer = await openBuffer(t, { directory: makeFolder(t), fs })
  const values = numbers(1000)
  const order: number[] = []
  const sequences = await Promise.all(values.map(async value => {
    const sequence = await appendText(buffer, value)
    order.push(sequence)
    return sequence
  }))
  t.same(sequences, values.map((_, i) => i + 1))
  t.same(order, sequences, 'they resolve in order too')
  t.ok(syncs <= 4, `${syncs} fsyncs`)
  t.equal(writes, syncs)
  t.same(await drain(buffer, 64), values)
})

t.test('nothing resolves before its fsync has', async t => {
  let letGo = (): void => {}
  let isSyncing = (): void => {}
  let isGated = false
  const syncing = new Promise<void>(resolve => { isSyncing = resolve })
  const gate = new Promise<void>(resolve => { letGo = resolve })
  const real = faultyFileSystem({ fault: () => undefined })
  const fs = {
    ...real,
    async open (path: string, flags: string, mode?: number) {
      const file = await real.open(path, flags, mode)
      return {
        ...file,
        async datasync () {
          if (isGated && path.endsWith('.log')) {
            isSyncing()
            await gate
          }
          await file.datasync()
        }
      }
    }
  }
  const directory = makeFolder(t)
  const buffer = await openBuffer(t, { directory, fs })
  await appendText(buffer, 'before')
  isGated = true
  let isDone = false
  const append = appendText(buffer, 'a').then(() => { isDone = true })
  await syncing
  // Time enough for whatever does not wait.
  for (let i = 0; i < 20; i++) t.same((await buffer.peek(LIMITS)).map(entry => text(entry.payload)), ['before'], 'nor is it read')
  t.equal(isDone, false)
  letGo()
  await append
  t.equal(isDone, true)
})

t.test('reading while appending loses and doubles nothing', async t => {
  const directory = makeFolder(t)
  const buffer = await openBuffer(t, { directory, fileBytes: 2000 })
  const values = numbers(600)
  const read: string[] = []
  let next = 0
  const appenders = Array.from({ length: 4 }, async () => {
    for (let i = next++; i < values.length; i = next++) await appendText(buffer, values[i] ?? '')
  })
  const written = Promise.all(appenders)
  while (read.length < values.length) {
    read.push(...await drain(buffer, 5))
    // An empty buffer answers without touching the disk: appends need a turn of the event loop.
    await nextTurn()
  }
  await written
  t.same(read, values)
  t.same(await drain(buffer), [])
  t.same(logFiles(directory), [])
})

t.test('a full budget refuses before writing, says so, and takes records again when space was given back', async t => {
  const directory = makeFolder(t)
  const states: string[] = []
  const buffer = await openBuffer(t, { directory, maxBytes: 1000, fileBytes: 300, onStateChange: (state, before) => { states.push(`${before} ${state}`) } })
  const accepted: string[] = []
  for (const value of numbers(100)) {
    try {
      await appendText(buffer, value)
      accepted.push(value)
    } catch (error) {
      t.ok(hasCode(error, 'RGT_BUFFER_FULL'))
      break
    }
  }
  t.ok(accepted.length > 10 && accepted.length < 30, `${accepted.length} records fit`)
  t.ok(logBytes(directory) <= 1000)
  t.equal(buffer.stats.state, 'full')
  const entries = await buffer.peek({ ...LIMITS, maxRecords: 9 })
  await buffer.release(entries.at(-1)?.sequence ?? 0)
  t.equal(buffer.stats.state, 'buffering')
  await appendText(buffer, 'more')
  t.same(await drain(buffer), [...accepted.slice(9), 'more'])
  t.same(states, ['empty buffering', 'buffering full', 'full buffering', 'buffering empty'])
})

t.test('appends at once never exceed the budget', async t => {
  const directory = makeFolder(t)
  const buffer = await openBuffer(t, { directory, maxBytes: 5000, fileBytes: 200 })
  const results = await Promise.allSettled(numbers(500).map(async value => await appendText(buffer, value)))
  const taken = results.filter(result => result.status === 'fulfilled')
  t.ok(taken.length > 20 && taken.length < 500, `${taken.length} taken`)
  t.ok(logBytes(directory) <= 5000)
  t.equal((await drain(buffer)).length, taken.length)
})

t.test('what waits for a slow disk is bounded', async t => {
  const buffer = await openBuffer(t, { directory: makeFolder(t), maxPendingBytes: 1000 })
  const results = await Promise.allSettled(numbers(100).map(async value => await appendText(buffer, value)))
  const refused = results.filter(result => result.status === 'rejected')
  t.ok(refused.length > 50 && refused.length < 100)
  for (const { reason } of refused) t.ok(hasCode(reason, 'RGT_OVERLOADED'))
  t.equal(await appendText(buffer, 'later'), results.length - refused.length + 1)
})

t.test('a record that could never fit has a code of its own', async t => {
  const buffer = await openBuffer(t, { directory: makeFolder(t), maxBytes: 200 })
  await buffer.append(Buffer.alloc(buffer.maxPayloadBytes))
  await t.rejects(buffer.append(Buffer.alloc(buffer.maxPayloadBytes + 1)), { code: 'RGT_BUFFER_RECORD_TOO_LARGE', retryable: false })
  t.equal(buffer.stats.bytes, 200)
})

t.test('a poison record is set aside durably and the rest goes on', async t => {
  const directory = makeFolder(t)
  let buffer = await openBuffer(t, { directory, log: new MemoryLog() })
  for (const value of numbers(6)) await appendText(buffer, value)
  await buffer.peek(LIMITS)
  await buffer.setAside(3, 'the database refuses it')
  const left = ['record 1', 'record 2', 'record 4', 'record 5', 'record 6']
  t.same((await buffer.peek(LIMITS)).map(entry => text(entry.payload)), left)
  t.equal(buffer.stats.records, 5)
  t.same(Object.values(quarantined(directory)).map(text), ['record 3'])
  await buffer.release(2)
  t.equal(buffer.stats.records, 3)
  await buffer.close()
  buffer = await openBuffer(t, { directory })
  t.same((await buffer.peek(LIMITS)).map(entry => text(entry.payload)), left.slice(2), 'what was at the head is released with it')
  t.equal(buffer.stats.quarantined, 1)
  for (const sequence of [4, 5, 6]) await buffer.setAside(sequence, 'also')
  await buffer.setAside(4, 'twice is once')
  t.same(await buffer.peek(LIMITS), [])
  t.match(buffer.stats, { state: 'empty', records: 0, quarantined: 4 })
  t.same(logFiles(directory), [])
  await t.rejects(buffer.setAside(7, 'never read'), RangeError)
})

t.test('the age is that of the oldest undrained record', async t => {
  const directory = makeFolder(t)
  let nowMs = 1_000_000
  const now = (): number => nowMs
  const buffer = await openBuffer(t, { directory, now })
  t.equal(buffer.stats.oldestAgeMs, null)
  await appendText(buffer, 'a')
  nowMs += 500
  await appendText(buffer, 'b')
  nowMs += 100
  t.equal(buffer.stats.oldestAgeMs, 600)
  await buffer.peek({ ...LIMITS, maxRecords: 1 })
  await buffer.release(1)
  await buffer.peek(LIMITS)
  t.equal(buffer.stats.oldestAgeMs, 100)
  await buffer.close()
  const again = await openBuffer(t, { directory, now })
  t.equal(again.stats.oldestAgeMs, 100)
  nowMs = 0
  t.equal(again.stats.oldestAgeMs, 0, 'a clock set back gives no negative age')
})

t.test('closing finishes what was taken, refuses what comes, and may be done twice', async t => {
  const directory = makeFolder(t)
  const buffer = await openBuffer(t, { directory })
  const appends = numbers(20).map(async value => await appendText(buffer, value))
  const closing = buffer.close()
  await t.rejects(appendText(buffer, 'late'), { code: 'RGT_SHUTTING_DOWN' })
  await t.rejects(buffer.peek(LIMITS), { code: 'RGT_SHUTTING_DOWN' })
  await Promise.all([closing, buffer.close(), ...appends])
  const again = await openBuffer(t, { directory })
  t.same(await drain(again), numbers(20))
})

t.test('a listener that throws does no harm', async t => {
  const log = new MemoryLog()
  const buffer = await openBuffer(t, { directory: makeFolder(t), log, onStateChange () { throw new Error('mine') } })
  t.equal(await appendText(buffer, 'a'), 1)
  t.equal(await appendText(buffer, 'b'), 2)
  t.equal(log.of('error').length, 1)
})

t.test('sizes that hold nothing are refused', async t => {
  const directory = makeFolder(t)
  for (const sizes of [{ maxBytes: 10, fileBytes: 1000 }, { maxBytes: 1000, fileBytes: NaN }]) {
    await t.rejects(FileBuffer.open({ directory, log: new MemoryLog(), ...sizes }), RangeError)
  }
})
