import { parseArgs } from 'node:util'

export interface BenchOptions {
  /** Length of a measurement; a backlog is sized to last about as long. */
  seconds: number
  warmUpSeconds: number
  /** Repetitions of each workload. */
  repeat: number
  /** Names of workloads, or beginnings of names; empty: all. */
  only: string[]
  /** Processes of the service. The first number is for everything; with the others the workloads that scale are run again. */
  workers: number[]
  /** Folder for benchmarks.md, benchmarks.json and the plots; null: print only. */
  out: string | null
  /** Folder for profiles of the service and of PostgreSQL; null: none are taken. */
  profile: string | null
  /** Also the workloads that take minutes. */
  long: boolean
  list: boolean
  help: boolean
}

export const HELP = `Usage: npm run bench -- [options]

  --seconds <n>      length of each measurement (5)
  --warm-up <n>      seconds of the same load before it (10); less, and code that V8 has yet to compile is measured
  --repeat <n>       repetitions (3; 1 with --profile); shown are their median, least and greatest
  --only <name>      a workload by its name or the beginning of it; may be repeated
  --workers <n,…>    processes of the service (1); with further numbers the workloads that scale are run again
  --out <folder>     where to write benchmarks.md, benchmarks.json and the plots (docs, for a whole run as it is by default)
  --profile <folder> write there, per workload, which functions of the service and which statements of PostgreSQL take the time
  --long             also whether it stays fast with much of everything: some ten minutes more
  --list             names of the workloads

DATABASE_URL names the PostgreSQL to use; databases are created in it and dropped afterwards. Without it an embedded one
is started in a temporary folder.
`

/** What the user can put right; its message is all there is to say. */
export class UsageError extends Error {}

/** Reads the command line. Throws UsageError, or the error of parseArgs. */
export function readArguments (args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string' },
      'warm-up': { type: 'string' },
      repeat: { type: 'string' },
      only: { type: 'string', multiple: true },
      workers: { type: 'string' },
      out: { type: 'string' },
      profile: { type: 'string' },
      long: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  const only = (values.only ?? []).flatMap(names => names.split(',')).filter(name => name !== '')
  // What is published comes from whole runs.
  const isWhole = only.length === 0 && [values.seconds, values['warm-up'], values.repeat, values.profile].every(value => value === undefined)
  return {
    seconds: wholeNumber(values.seconds ?? '5', 1, 'seconds'),
    warmUpSeconds: wholeNumber(values['warm-up'] ?? '10', 0, 'warm-up'),
    repeat: wholeNumber(values.repeat ?? (values.profile === undefined ? '3' : '1'), 1, 'repeat'),
    only,
    workers: (values.workers ?? '1').split(',').map(text => wholeNumber(text, 1, 'workers')),
    out: values.out ?? (isWhole ? 'docs' : null),
    profile: values.profile ?? null,
    long: values.long,
    list: values.list,
    help: values.help
  }
}

function wholeNumber (text: string, least: number, name: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < least) throw new UsageError(`--${name} must be a whole number from ${least} on`)
  return value
}
