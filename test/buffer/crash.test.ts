import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import ts from 'typescript'
import { FileBuffer } from '../../services/buffer/file-buffer.ts'
import { MemoryLog, appendText, drain, makeFolder, openBuffer, text } from './support.ts'

const SERVICES = fileURLToPath(new URL('../../services/', import.meta.url))
const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url))

/** The buffer as plain JavaScript: a child process must not need the test runner's loader. */
function compile (t: Test): string {
  const target = makeFolder(t)
  writeFileSync(join(target, 'package.json'), '{ "type": "module" }')
  mkdirSync(join(target, 'buffer'))
  for (const name of ['errors.ts', ...readdirSync(join(SERVICES, 'buffer')).map(name => `buffer/${name}`)]) {
    const { outputText } = ts.transpileModule(readFileSync(join(SERVICES, name), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true, rewriteRelativeImportExtensions: true }
    })
    writeFileSync(join(target, name.replace(/\.ts$/, '.js')), outputText)
  }
  return join(target, 'buffer/file-buffer.js')
}

const module = compile(t)

interface Child {
  pid: number
  lines: string[]
  /** Resolves when so many lines that begin so were printed. */
  said: (beginning: string, count: number) => Promise<void>
  kill: () => Promise<void>
  ended: Promise<number | string | null>
}

function start (t: Test, directory: string, task: string): Child {
  // The shell takes the loader out again that the test runner gives to every process it sees started.
  const child = spawn('/bin/sh', ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', process.execPath, CHILD, module, directory, task], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: string[] = []
  let rest = ''
  let check = (): void => {}
  child.stdout.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString('latin1')).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    check()
  })
  const ended = new Promise<number | string | null>(resolve => child.once('close', (code, signal) => {
    check()
    resolve(code ?? signal)
  }))
  t.teardown(() => { child.kill('SIGKILL') })
  return {
    pid: child.pid ?? 0,
    lines,
    ended,
    async said (beginning, count) {
      await new Promise<void>((resolve, reject) => {
        check = () => {
          if (lines.filter(line => line.startsWith(beginning)).length >= count) resolve()
          else if (child.exitCode !== null) reject(new Error(`ended early: ${lines.join('; ')}`))
        }
        check()
      })
    },
    async kill () {
      child.kill('SIGKILL')
      await ended
    }
  }
}

interface Found { sequence: number, value: string }

async function readAll (buffer: FileBuffer): Promise<Found[]> {
  const entries = await buffer.peek({ maxRecords: 1e6, maxBytes: 1e9 })
  return entries.map(({ sequence, payload }) => ({ sequence, value: text(payload) }))
}

const acknowledgedBy = (child: Child): Found[] => child.lines.filter(line => line.startsWith('+ ')).map(line => {
  const [, sequence, value = ''] = line.split(' ')
  return { sequence: Number(sequence), value }
})

for (const [task, what] of [['append', 'mid-append'], ['rotate', 'mid-rotation']] as const) {
  t.test(`killed in ${what}, again and again: all that was acknowledged is there, in order, none twice`, async t => {
    const directory = makeFolder(t)
    const acknowledged: Found[] = []
    for (let round = 0; round < 6; round++) {
      const child = start(t, directory, task)
      await child.said('+', 40 + 61 * round)
      await child.kill()
      acknowledged.push(...acknowledgedBy(child))
      const buffer = await openBuffer(t, { directory })
      const found = await readAll(buffer)
      await buffer.close()
      const bySequence = new Map(found.map(({ sequence, value }) => [sequence, value]))
      t.same(found.map(({ sequence }) => sequence), found.map((_, i) => i + 1), 'numbers without a hole')
      t.equal(new Set(found.map(({ value }) => value)).size, found.length)
      t.same(acknowledged.filter(({ sequence, value }) => bySequence.get(sequence) !== value), [])
      t.match(buffer.recovery, { missingRecords: 0, damaged: 0, filesSetAside: [] })
      // Each appender waits for its answer: its records are in its order.
      const next = new Map<string, number>()
      for (const { value } of found) {
        const [pid, worker, n] = value.split('.')
        const key = `${pid}.${worker}`
        if (Number(n) !== (next.get(key) ?? 0)) t.fail(`${value} came for ${next.get(key) ?? 0}`)
        next.set(key, Number(n) + 1)
      }
    }
    t.ok(acknowledged.length > 1000)
  })
}

t.test('killed in mid-release, again and again: nothing unreleased is lost, and what was remembered is not replayed', async t => {
  const directory = makeFolder(t)
  const acknowledged = new Map<number, string>()
  let asked = 0
  let remembered = 0
  for (let round = 0; round < 6; round++) {
    const child = start(t, directory, 'release')
    await child.said('-', 10 + 17 * round)
    await child.kill()
    for (const { sequence, value } of acknowledgedBy(child)) acknowledged.set(sequence, value)
    const last = (sign: string): number => Number(child.lines.filter(line => line.startsWith(sign)).at(-1)?.split(' ')[1])
    asked = last('?')
    remembered = last('-')
    const buffer = await openBuffer(t, { directory })
    const found = await readAll(buffer)
    await buffer.close()
    const first = found[0]?.sequence ?? Infinity
    t.ok(first > remembered, `first ${first}, remembered ${remembered}`)
    const bySequence = new Map(found.map(({ sequence, value }) => [sequence, value]))
    const lost = [...acknowledged].filter(([sequence, value]) => sequence > asked && bySequence.get(sequence) !== value)
    t.same(lost, [])
    t.same(found.map(({ sequence }) => sequence), found.map((_, i) => first + i))
    t.match(buffer.recovery, { missingRecords: 0, damaged: 0 })
  }
})

t.test('a second process on the folder is refused, and takes it over when the first was killed', async t => {
  const directory = makeFolder(t)
  const first = start(t, directory, 'hold')
  await first.said('open', 1)
  const second = start(t, directory, 'hold')
  t.equal(await second.ended, 3)
  t.match(second.lines, [/^refused RGT_BUFFER_IN_USE/])
  t.match(second.lines[0], `process with id ${first.pid}`)
  await t.rejects(openBuffer(t, { directory }), { code: 'RGT_BUFFER_IN_USE' }, 'this process as well')
  // A stopped process still holds it.
  process.kill(first.pid, 'SIGSTOP')
  await t.rejects(openBuffer(t, { directory }), { code: 'RGT_BUFFER_IN_USE' })
  await first.kill()
  t.equal(readdirSync(directory).filter(name => name.startsWith('lock-')).length, 1, 'the lock of the dead is still there')
  const buffer = await openBuffer(t, { directory })
  t.equal(await appendText(buffer, 'mine'), 1)
  await buffer.close()
  t.same(readdirSync(directory).filter(name => name.startsWith('lock-')), [])
})

t.test('of many that open at once, never two have it', async t => {
  const directory = makeFolder(t)
  let holders = 0
  let most = 0
  let opened = 0
  await Promise.all(Array.from({ length: 12 }, async () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        const buffer = await FileBuffer.open({ directory, maxBytes: 1 << 20, fileBytes: 1 << 20, log: new MemoryLog() })
        opened++
        most = Math.max(most, ++holders)
        await appendText(buffer, 'x')
        holders--
        await buffer.close()
        return
      } catch (error) {
        t.match(error, { code: 'RGT_BUFFER_IN_USE' })
      }
    }
  }))
  t.equal(most, opened > 0 ? 1 : 0)
  const buffer = await openBuffer(t, { directory })
  t.equal((await drain(buffer)).length, opened)
})

t.test('a folder with a path too long for a socket is locked as well', async t => {
  const directory = join(makeFolder(t), 'd'.repeat(120))
  const buffer = await openBuffer(t, { directory })
  await t.rejects(openBuffer(t, { directory }), { code: 'RGT_BUFFER_IN_USE' })
  await buffer.close()
  t.same(readdirSync(directory), [])
  const again = await openBuffer(t, { directory })
  t.equal(await appendText(again, 'a'), 1)
})
