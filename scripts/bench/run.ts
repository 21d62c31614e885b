// npm run bench: its own PostgreSQL, its own service, its own load generator, and a report. Figures are never asserted;
// that every message arrives exactly once is.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HELP, UsageError, readArguments } from './arguments.ts'
import type { BenchOptions } from './arguments.ts'
import { openCluster } from './cluster.ts'
import type { BenchCluster } from './cluster.ts'
import { describeMachine } from './machine.ts'
import { profilePage, readProfiles } from './profile/page.ts'
import { count, ms, plainTable } from './report/format.ts'
import { markdownReport } from './report/markdown.ts'
import { plotsOf } from './report/plots.ts'
import { faultsOf } from './report/results.ts'
import type { Report, Series } from './report/results.ts'
import { channelTable, comparisonTable, latencyTable, resourceTable, scalingTable, stayTable, throughputTable } from './report/tables.ts'
import { judgeBars } from './report/bars.ts'
import { runOnce } from './session.ts'
import { WORKLOADS } from './workloads/all.ts'
import type { Workload } from './workloads/context.ts'

interface Planned { workload: Workload, series: Series }

async function main (): Promise<void> {
  const options = readArguments(process.argv.slice(2))
  if (options.help || options.list) {
    process.stdout.write(options.help ? HELP : WORKLOADS.map(({ name, title }) => `${name.padEnd(22)}${title}\n`).join(''))
    return
  }
  const plan = planOf(options)
  if (plan.length === 0) throw new UsageError('no workload of that name: see --list')

  const machine = describeMachine()
  const cluster = await openCluster(process.env.DATABASE_URL, { timesInput: options.profile !== null })
  try {
    for (let round = 1; round <= options.repeat; round++) {
      for (const planned of plan) await runRepetition(planned, round, cluster, options)
    }
  } finally {
    await cluster.close()
  }
  const { version, isEmbedded, settings } = cluster
  const { seconds, warmUpSeconds, repeat, workers } = options
  await publish({
    machine,
    postgres: { version, isEmbedded, settings },
    options: { seconds, warmUpSeconds, repeat, workers },
    series: plan.map(({ series }) => series)
  }, options)
}

/** What is to be run, in order: in every round all of it once, so that what is compared lies close together in time. */
function planOf ({ only, workers, long }: BenchOptions): Planned[] {
  const names = new Set(WORKLOADS.map(({ name }) => name))
  const chosen = WORKLOADS.filter(({ name, isLong }) => only.length === 0 ? long || isLong !== true : only.some(wanted => names.has(wanted) ? name === wanted : name.startsWith(wanted)))
  return workers.flatMap((processes, i) => chosen.filter(({ isScaled }) => i === 0 || isScaled === true).map(workload => {
    const { name, title, section, connections, compareWith = [] } = workload
    return { workload, series: { name, title, section, connections, compareWith, workers: processes, repetitions: [], failures: [] } }
  }))
}

async function runRepetition ({ workload, series }: Planned, round: number, cluster: BenchCluster, options: BenchOptions): Promise<void> {
  if (workload.isLong === true && round > 1) return
  stopping.signal.throwIfAborted()
  const label = `${round}/${options.repeat}  ${series.name.padEnd(22)}${series.workers === 1 ? '' : `${series.workers} processes  `}`
  const startedAt = performance.now()
  try {
    const { measurement, profileDir } = await runOnce(workload, cluster, options, series.workers, stopped)
    if (profileDir !== null) await writeFile(`${profileDir}.md`, profilePage(workload.title, measurement, await readProfiles(profileDir)))
    const { statements, beganAtUs, endedAtUs, ...repetition } = measurement
    series.repetitions.push(repetition)
    const { messages, seconds, latency, faults } = repetition
    process.stderr.write(`${label}${count(messages / seconds)} msg/s, p50 ${ms(latency?.p50Ms ?? null)} ms, p99 ${ms(latency?.p99Ms ?? null)} ms  (${Math.round((performance.now() - startedAt) / 1000)} s)\n`)
    for (const fault of faults) process.stderr.write(`  WRONG: ${fault}\n`)
  } catch (error) {
    if (stopping.signal.aborted) throw error
    // The others are still worth their while; the exit code and the report tell of this one.
    series.failures.push(error instanceof Error ? error.message : String(error))
    process.stderr.write(`${label}FAILED: ${error instanceof Error ? error.stack : String(error)}\n`)
  }
}

async function publish (report: Report, { out }: BenchOptions): Promise<void> {
  const tables = [
    throughputTable(report, 'push', 'consume', 'floor', 'peer'), resourceTable(report, 'push', 'consume', 'floor', 'peer'), comparisonTable(report),
    latencyTable(report), stayTable(report), channelTable(report), scalingTable(report),
    [['bar', 'measured', 'reached'], ...judgeBars(report).map(({ text, measured, isReached }) => [text, measured, isReached === null ? '-' : isReached ? 'yes' : 'NO'])]
  ]
  process.stdout.write(tables.filter(({ length }) => length > 1).map(table => `\n${plainTable(table)}\n`).join(''))
  const faults = faultsOf(report)
  if (faults.length > 0) {
    process.stderr.write(`\nWRONG:\n${faults.map(fault => `  ${fault}\n`).join('')}`)
    process.exitCode = 1
  }
  if (out === null) return
  const plots = plotsOf(report)
  await mkdir(join(out, 'benchmarks'), { recursive: true })
  for (const { name, svg } of plots) await writeFile(join(out, 'benchmarks', `${name}.svg`), svg)
  await writeFile(join(out, 'benchmarks.md'), markdownReport(report, plots))
  await writeFile(join(out, 'benchmarks.json'), `${JSON.stringify(report, null, 1)}\n`)
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
