import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { crc32 } from 'node:zlib'
import { HEADER_BYTES } from '../../services/buffer/file-header.ts'
import { MARK_NAME } from '../../services/buffer/mark.ts'
import { RECORD_HEAD_BYTES, encodeHead } from '../../services/buffer/record.ts'
import { MemoryLog, appendText, drain, logFiles, makeQuickFolder, openBuffer, quarantined } from './support.ts'

const VALUES = ['first', 'second record', 'x', 'the fourth, a bit longer', '', 'last one']

interface Made {
  directory: string
  values: string[]
  /** Of each record: its file, offset and end. */
  places: Array<{ file: string, offset: number, end: number }>
}

/** A folder with these records in files of `perFile` records. */
async function make (t: Test, values = VALUES, perFile = Infinity): Promise<Made> {
  const directory = makeQuickFolder(t)
  const places: Made['places'] = []
  for (let i = 0; i < values.length;) {
    // A restart begins a new file.
    const buffer = await openBuffer(t, { directory })
    for (let n = 0; n < perFile && i < values.length; n++, i++) {
      await appendText(buffer, values[i] ?? '')
      const file = logFiles(directory).at(-1) ?? ''
      const end = statSync(join(directory, file)).size
      places.push({ file, end, offset: end - RECORD_HEAD_BYTES - (values[i] ?? '').length })
    }
    await buffer.close()
  }
  return { directory, values, places }
}

/** A copy of a folder, to be damaged; removed as soon as it was looked at. */
async function inCopy<T> (directory: string, use: (copy: string) => Promise<T>): Promise<T> {
  const copy = mkdtempSync(`${directory}-copy-`)
  try {
    for (const name of readdirSync(directory)) {
      if (name === 'quarantine') mkdirSync(join(copy, name))
      else copyFileSync(join(directory, name), join(copy, name))
    }
    return await use(copy)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function change (path: string, edit: (bytes: Buffer) => Buffer): void {
  writeFileSync(path, edit(readFileSync(path)))
}

const allQuarantined = (directory: string): Buffer => Buffer.concat(Object.values(quarantined(directory)))

t.test('the checksum is CRC-32 as everybody has it', async t => {
  t.equal(crc32('123456789'), 0xcbf43926)
})

t.test('the last file cut at any byte: every record before the cut is there, and appends go on', async t => {
  const { directory, values, places } = await make(t)
  const name = logFiles(directory)[0] ?? ''
  const size = statSync(join(directory, name)).size
  for (let cut = 0; cut < size; cut++) {
    await inCopy(directory, async copy => {
      change(join(copy, name), bytes => bytes.subarray(0, cut))
      const whole = places.filter(({ end }) => end <= cut)
      const buffer = await openBuffer(t, { directory: copy })
      const end = whole.at(-1)?.end ?? HEADER_BYTES
      const torn = Math.max(0, cut - end)
      if (buffer.recovery.tornBytes !== torn) t.fail(`cut at ${cut}: ${buffer.recovery.tornBytes} torn bytes`)
      if (torn > 0 && whole.length > 0 && statSync(join(copy, name)).size !== end) t.fail(`cut at ${cut}: the torn end is still there`)
      if (torn > 0 && allQuarantined(copy).length !== torn) t.fail(`cut at ${cut}: no copy of the torn end`)
      if (buffer.stats.quarantined !== 0) t.fail(`cut at ${cut}: an alarm for a torn end`)
      await appendText(buffer, 'appended')
      const found = await drain(buffer)
      await buffer.close()
      if (found.join('|') !== [...values.slice(0, whole.length), 'appended'].join('|')) t.fail(`cut at ${cut}: ${found.join('|')}`)
    })
  }
  t.ok(size > 200)
})

t.test('any byte of the last file flipped: that record is lost at most, and no bytes at all', async t => {
  const { directory, values, places } = await make(t)
  const name = logFiles(directory)[0] ?? ''
  const size = statSync(join(directory, name)).size
  for (let at = 0; at < size; at++) {
    await inCopy(directory, async copy => {
      const flip = 1 << at % 8
      change(join(copy, name), bytes => {
        bytes[at] = (bytes[at] ?? 0) ^ flip
        return bytes
      })
      const damaged = readFileSync(join(copy, name))
      const log = new MemoryLog()
      const buffer = await openBuffer(t, { directory: copy, log })
      const { recovery } = buffer
      await appendText(buffer, 'appended')
      const found = await drain(buffer)
      await buffer.close()
      const kept = allQuarantined(copy)
      if (at < HEADER_BYTES) {
        if (found.join('|') !== 'appended') t.fail(`flipped at ${at}: ${found.join('|')}`)
        if (!kept.equals(damaged)) t.fail(`flipped at ${at}: the file is not in the quarantine`)
        if (recovery.filesSetAside[0] !== name) t.fail(`flipped at ${at}: not reported`)
        return
      }
      const hit = places.findIndex(({ end }) => at < end)
      const place = places[hit]
      const left = values.filter((_, i) => i !== hit)
      if (found.join('|') !== [...left, 'appended'].join('|')) t.fail(`flipped at ${at}: ${found.join('|')}`)
      if (!kept.equals(damaged.subarray(place?.offset, place?.end))) t.fail(`flipped at ${at}: the bad bytes are not in the quarantine`)
      const isLast = hit === places.length - 1
      if (recovery.damaged !== (isLast ? 0 : 1) || (recovery.tornBytes > 0) !== isLast) t.fail(`flipped at ${at}: ${JSON.stringify(recovery)}`)
      const [line] = log.of(isLast ? 'warn' : 'error')
      if (line?.fields.offset !== place?.offset || line?.fields.file !== join(copy, name)) t.fail(`flipped at ${at}: no log line`)
    })
  }
  t.ok(size > 200)
})

t.test('any byte of a file in the middle flipped, or the file cut there: all other files are whole', async t => {
  const values = ['1a', '1b', '2a', '2b', '2c', '3a']
  const directory = makeQuickFolder(t)
  const places: Array<{ file: string, end: number }> = []
  for (const group of [['1a', '1b'], ['2a', '2b', '2c'], ['3a']]) {
    const buffer = await openBuffer(t, { directory })
    for (const value of group) {
      await appendText(buffer, value)
      const file = logFiles(directory).at(-1) ?? ''
      places.push({ file, end: statSync(join(directory, file)).size })
    }
    await buffer.close()
  }
  const name = '00000002.log'
  const size = statSync(join(directory, name)).size
  for (let at = 0; at < size; at++) {
    for (const isCut of [false, true]) {
      await inCopy(directory, async copy => {
        change(join(copy, name), bytes => {
          if (isCut) return bytes.subarray(0, at)
          bytes[at] = (bytes[at] ?? 0) ^ 0x40
          return bytes
        })
        const lost = places.flatMap(({ file, end }, i) => {
          if (file !== name) return []
          if (at < HEADER_BYTES) return [i]
          const start = places[i - 1]?.file === name ? places[i - 1]?.end ?? 0 : HEADER_BYTES
          return end > at && (isCut || start <= at) ? [i] : []
        })
        const buffer = await openBuffer(t, { directory: copy })
        const { recovery } = buffer
        const found = await drain(buffer, 2)
        const expected = values.filter((_, i) => !lost.includes(i))
        const what = `${isCut ? 'cut' : 'flipped'} at ${at}`
        if (found.join('|') !== expected.join('|')) t.fail(`${what}: ${found.join('|')}`)
        if (recovery.missingRecords !== lost.length) t.fail(`${what}: ${recovery.missingRecords} records said to be missing`)
        if (buffer.stats.records !== 0) t.fail(`${what}: ${buffer.stats.records} records left`)
        if (logFiles(copy).length > 0) t.fail(`${what}: drained files are left`)
        await buffer.close()
      })
    }
  }
  t.ok(size > 120)
})

t.test('damage that comes while the buffer is open is found by reading, set aside once, and counted', async t => {
  const { directory, values, places } = await make(t)
  const log = new MemoryLog()
  const buffer = await openBuffer(t, { directory, log })
  for (const hit of [0, 3, 5]) {
    const place = places[hit]
    change(join(directory, place?.file ?? ''), bytes => bytes.fill(0xee, place?.offset, place?.end))
  }
  await buffer.peek({ maxRecords: 1, maxBytes: 1 })
  await buffer.peek({ maxRecords: 100, maxBytes: 1000 })
  await buffer.peek({ maxRecords: 100, maxBytes: 1000 })
  t.match(buffer.stats, { quarantined: 3, records: 3 })
  t.equal(log.of('error').length, 3)
  t.same(await drain(buffer), values.filter((_, i) => ![0, 3, 5].includes(i)))
  t.match(buffer.stats, { state: 'empty', records: 0 })
  t.same(logFiles(directory), [])
})

t.test('a buffer of nothing but damage becomes empty by itself', async t => {
  const { directory, places } = await make(t, ['a', 'b'])
  const buffer = await openBuffer(t, { directory })
  change(join(directory, places[0]?.file ?? ''), bytes => bytes.fill(0, HEADER_BYTES))
  t.same(await drain(buffer), [])
  t.match(buffer.stats, { state: 'empty', records: 0, quarantined: 1 })
  await buffer.close()
  const again = await openBuffer(t, { directory })
  t.same(logFiles(directory), [])
  t.match(again.recovery, { records: 0, damaged: 0, missingRecords: 0 })
})

t.test('damaged records that are drained are no loss', async t => {
  const { directory, places } = await make(t)
  const buffer = await openBuffer(t, { directory })
  await buffer.peek({ maxRecords: 3, maxBytes: 1000 })
  await buffer.release(3)
  await buffer.close()
  change(join(directory, '00000001.log'), bytes => bytes.fill(0, places[1]?.offset, places[1]?.end))
  const again = await openBuffer(t, { directory })
  t.match(again.recovery, { records: 3, damaged: 0, missingRecords: 0 })
  t.same(await drain(again), VALUES.slice(3))
  t.equal(again.stats.quarantined, 0)
})

t.test('the same damage met by several starts is set aside once', async t => {
  const { directory, places } = await make(t)
  change(join(directory, '00000001.log'), bytes => bytes.fill(0, places[1]?.offset, places[1]?.end))
  for (let start = 0; start < 3; start++) {
    const buffer = await openBuffer(t, { directory })
    t.match(buffer.stats, { quarantined: 1, records: 5 })
    await buffer.close()
  }
})

t.test('a payload that holds records is a payload, also when it is damaged', async t => {
  const forged = Buffer.concat([2, 3, 4].flatMap(sequence => [encodeHead(sequence, 1, Buffer.from('forged'), 0), Buffer.from('forged')]))
  const values = [forged.toString('latin1'), 'second']
  const { directory, places } = await make(t, values)
  // All of a log file as a payload, too.
  const other = readFileSync(join(directory, '00000001.log'))
  const nested = await make(t, [other.toString('latin1'), 'second'])
  for (const { directory: folder, places: [place] } of [{ directory, places }, nested]) {
    change(join(folder, '00000001.log'), bytes => bytes.fill(0, place?.offset, (place?.offset ?? 0) + 4))
    const buffer = await openBuffer(t, { directory: folder })
    t.same(await drain(buffer), ['second'])
    t.match(buffer.recovery, { damaged: 1, missingRecords: 1 })
  }
})

t.test('a large damaged record, and records beyond the size of a read, are found around it', async t => {
  const values = ['a', 'L'.repeat(700_000), 'M'.repeat(300_000), 'b']
  const { directory, places } = await make(t, values)
  change(join(directory, '00000001.log'), bytes => bytes.fill(0x20, (places[1]?.offset ?? 0) + 2, (places[1]?.offset ?? 0) + 10))
  const buffer = await openBuffer(t, { directory })
  t.ok((await drain(buffer)).join() === ['a', values[2], 'b'].join())
  t.equal(buffer.stats.quarantined, 1)
})

t.test('files that are not ours, of another version, or in the wrong place are moved whole', async t => {
  const { directory } = await make(t, ['1', '2', '3', '4', '5', '6'], 1)
  change(join(directory, '00000002.log'), bytes => {
    bytes.writeUInt32LE(2, 8)
    return bytes
  })
  change(join(directory, '00000003.log'), () => Buffer.from('something else altogether, and long enough to have a header'))
  copyFileSync(join(directory, '00000001.log'), join(directory, '00000007.log'))
  writeFileSync(join(directory, '00000008.log'), '')
  writeFileSync(join(directory, 'notes.txt'), 'mine')
  const log = new MemoryLog()
  const buffer = await openBuffer(t, { directory, log })
  t.same(buffer.recovery.filesSetAside, ['00000002.log', '00000003.log', '00000007.log'])
  t.equal(buffer.recovery.missingRecords, 2)
  t.same(Object.keys(quarantined(directory)).sort(), buffer.recovery.filesSetAside)
  const reason = readFileSync(join(directory, 'quarantine', '00000002.log.json'), 'utf8')
  t.match(reason, 'format version 2 is not known')
  t.ok(log.of('error').length >= 3)
  await appendText(buffer, '7')
  t.ok(readdirSync(directory).includes('00000009.log'), 'no number is used twice')
  t.same(await drain(buffer), ['1', '4', '5', '6', '7'])
  t.ok(readdirSync(directory).includes('notes.txt'))
})

t.test('a file put back from the quarantine is read again', async t => {
  const { directory } = await make(t, ['1', '2', '3'], 1)
  const path = join(directory, '00000003.log')
  const good = readFileSync(path)
  change(path, bytes => bytes.fill(0, 0, 8))
  const buffer = await openBuffer(t, { directory })
  await appendText(buffer, '4')
  await buffer.close()
  writeFileSync(path, good)
  const again = await openBuffer(t, { directory })
  t.same(await drain(again), ['1', '2', '3', '4'])
})

t.test('a spoilt mark replays, and never skips what was not drained', async t => {
  const values = Array.from({ length: 8 }, (_, i) => `r${i}`)
  const { directory } = await make(t, values)
  const buffer = await openBuffer(t, { directory })
  for (const sequence of [2, 5]) {
    await buffer.peek({ maxRecords: 100, maxBytes: 1000 })
    await buffer.release(sequence)
  }
  await buffer.close()
  const size = statSync(join(directory, MARK_NAME)).size
  let replays = 0
  const between = [24, 1000, 4095]
  for (const at of [...Array.from({ length: size }, (_, i) => i).filter(i => i < 24 || i >= 4096), ...between]) {
    await inCopy(directory, async copy => {
      change(join(copy, MARK_NAME), bytes => {
        bytes[at] = (bytes[at] ?? 0) ^ 1
        return bytes
      })
      const again = await openBuffer(t, { directory: copy })
      const found = await drain(again)
      await again.close()
      if (found.length === 6) replays++
      else if (found.length !== 3) t.fail(`flipped at ${at}: ${found.length} records`)
      if (found.join() !== values.slice(-found.length).join()) t.fail(`flipped at ${at}: ${found.join()}`)
    })
  }
  t.equal(replays, 24, 'the slot of the last mark has 24 bytes')
  change(join(directory, MARK_NAME), bytes => bytes.fill(1))
  const again = await openBuffer(t, { directory })
  t.same(again.recovery.filesSetAside, [MARK_NAME])
  t.same(await drain(again), values)
})
