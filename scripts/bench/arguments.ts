import { parseArgs } from 'node:util'

export interface BenchOptions {
  /** Length of a measurement; a backlog is sized to last about as long. */
  seconds: number
  warmUpSeconds: number
  /** HTTP connections, and connections of the floor to PostgreSQL. */
  connections: number
  /** Names of workloads, or beginnings of names; empty: all. */
  only: string[]
  /** Folder for benchmarks.md and benchmarks.json; null: print only. */
  out: string | null
  /** Folder for a CPU profile of the server; null: none. */
  profile: string | null
  help: boolean
}

export const HELP = `Usage: npm run bench -- [options]

  --seconds <n>      length of each measurement (5)
  --warm-up <n>      seconds of the same load before it (2)
  --connections <n>  clients (64)
  --only <name>      a workload by its name or the beginning of it; may be repeated
  --quick            one second each and no warm-up: does it work, not how fast is it
  --out <folder>     where to write benchmarks.md and benchmarks.json (docs, unless --only or --quick)
  --profile <folder> write a CPU profile of the server there
  --list             names of the workloads

DATABASE_URL names the PostgreSQL to use; a database is created in it and dropped afterwards. Without it an embedded one
is started in a temporary folder.
`

/** What the user can put right; its message is all there is to say. */
export class UsageError extends Error {}

/** Reads the command line. Throws UsageError, or the error of parseArgs. */
export function readArguments (args: string[]): BenchOptions & { list: boolean } {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string' },
      'warm-up': { type: 'string' },
      connections: { type: 'string' },
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      out: { type: 'string' },
      profile: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  const only = (values.only ?? []).flatMap(names => names.split(',')).filter(name => name !== '')
  const isWhole = only.length === 0 && !values.quick
  return {
    seconds: wholeNumber(values.seconds, values.quick ? 1 : 5, 1, 'seconds'),
    warmUpSeconds: wholeNumber(values['warm-up'], values.quick ? 0 : 2, 0, 'warm-up'),
    connections: wholeNumber(values.connections, 64, 1, 'connections'),
    only,
    // What is published comes from whole runs.
    out: values.out ?? (isWhole ? 'docs' : null),
    profile: values.profile ?? null,
    list: values.list,
    help: values.help
  }
}

function wholeNumber (text: string | undefined, fallback: number, least: number, name: string): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!Number.isInteger(value) || value < least) throw new UsageError(`--${name} must be a whole number from ${least} on`)
  return value
}
