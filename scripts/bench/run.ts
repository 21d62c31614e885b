// npm run bench: its own PostgreSQL, its own server, its own load generator, and a table. Figures are never asserted;
// that every message arrives exactly once is.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { HELP, UsageError, readArguments } from './arguments.ts'
import type { BenchOptions } from './arguments.ts'
import { startGenerator, startServer } from './child.ts'
import type { HttpServer } from './child.ts'
import { openDatabase } from './database.ts'
import type { BenchDatabase } from './database.ts'
import { describeMachine } from './machine.ts'
import { markdown, plainTable } from './report.ts'
import type { Report, Row } from './report.ts'
import { bareRouteWorkload } from './workloads/bare-route.ts'
import { consumeWorkloads } from './workloads/consume.ts'
import type { Workload } from './workloads/context.ts'
import { floorWorkloads } from './workloads/floor.ts'
import { outageWorkloads } from './workloads/outage.ts'
import { pushWorkloads } from './workloads/push.ts'

async function main (): Promise<void> {
  const options = readArguments(process.argv.slice(2))
  const all = workloads(options)
  if (options.help || options.list) {
    process.stdout.write(options.help ? HELP : all.map(({ name, title }) => `${name.padEnd(20)}${title}\n`).join(''))
    return
  }
  const names = new Set(all.map(({ name }) => name))
  const chosen = all.filter(({ name }) => options.only.length === 0 || options.only.some(wanted => names.has(wanted) ? name === wanted : name.startsWith(wanted)))
  if (chosen.length === 0) throw new UsageError('no workload of that name: see --list')

  const machine = describeMachine()
  const database = await openDatabase(process.env.DATABASE_URL)
  try {
    const folder = await mkdtemp(join(tmpdir(), 'regent-bench-buffer-'))
    const server = await startServer('../../server.js',
      { DATABASE_URL: database.url, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'error', FILE_BUFFER_DIR: folder, FILE_BUFFER_MAX_MB: '65536' }, profilerArguments(options))
    try {
      const rows = await runAll(chosen, options, database, server)
      await publish({ machine, postgres: { version: database.version, isEmbedded: database.isEmbedded, settings: database.settings }, options, rows }, options)
    } finally {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    }
  } finally {
    await database.close()
  }
}

function workloads ({ connections }: BenchOptions): Workload[] {
  return [...pushWorkloads(connections), ...outageWorkloads(connections), ...consumeWorkloads(connections), ...floorWorkloads(connections), bareRouteWorkload(connections)]
}

function profilerArguments ({ profile }: BenchOptions): string[] {
  return profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`]
}

async function runAll (chosen: Workload[], options: BenchOptions, database: BenchDatabase, server: HttpServer): Promise<Row[]> {
  const rows: Row[] = []
  for (const { name, title, connections, floor, run } of chosen) {
    stopping.signal.throwIfAborted()
    // Before the warm-up, so that none falls into the measurement, nor the full pages that are logged after one.
    await database.sql`checkpoint`
    const generator = startGenerator()
    try {
      const work = run({ options, database, serverUrl: server.url, serverPid: server.pid, generator })
      const measurement = await Promise.race([work, server.failed, stopped])
      rows.push({ name, title, connections, floor: floor ?? null, ...measurement })
      process.stderr.write(`${name.padEnd(20)}${Math.round(measurement.messages / measurement.seconds)} msg/s\n`)
      for (const fault of measurement.faults) {
        process.stderr.write(`  WRONG: ${fault}\n`)
        process.exitCode = 1
      }
    } finally {
      await generator.stop()
    }
  }
  return rows
}

async function publish (report: Report, { out }: BenchOptions): Promise<void> {
  process.stdout.write(`\n${plainTable(report)}\n`)
  if (out === null) return
  await mkdir(out, { recursive: true })
  await writeFile(join(out, 'benchmarks.md'), markdown(report))
  await writeFile(join(out, 'benchmarks.json'), `${JSON.stringify(report, null, 2)}\n`)
}

// What was started is stopped in order also when the user has had enough; a second signal changes nothing about that.
const stopping = new AbortController()
const stopped = new Promise<never>((_resolve, reject) => {
  stopping.signal.addEventListener('abort', () => { reject(stopping.signal.reason) })
})
stopped.catch(() => {})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => { stopping.abort(new Error(`stopped by ${signal}`)) })
}

try {
  await main()
} catch (error) {
  const isPlain = stopping.signal.aborted || error instanceof UsageError || !(error instanceof Error)
  process.stderr.write(`${isPlain ? String(error) : error.stack ?? error.message}\n`)
  process.exitCode = stopping.signal.aborted ? 130 : 1
}
