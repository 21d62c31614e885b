import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { count, markdownTable, percent, short } from '../report/format.ts'
import type { Measurement } from '../measure.ts'
import { selfTimes, timesByPart } from './cpu-profile.ts'
import type { CpuProfile } from './cpu-profile.ts'

const FUNCTIONS = 30
const STATEMENTS = 20
const QUERY_CHARACTERS = 110

/** The CPU profiles that processes have left in a folder. */
export async function readProfiles (folder: string): Promise<CpuProfile[]> {
  const names = (await readdir(folder)).filter(name => name.endsWith('.cpuprofile'))
  return await Promise.all(names.map(async name => JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile)) // as Node writes them
}

/** Where a message's microseconds go: functions of the service, statements of PostgreSQL. */
export function profilePage (title: string, measurement: Measurement, profiles: readonly CpuProfile[]): string {
  const { messages, serverCpuSeconds, postgresCpuSeconds, generatorCpuSeconds } = measurement
  const perMessage = (seconds: number | null): number | null => seconds === null ? null : seconds * 1e6 / messages
  return `# ${title}

${count(messages / measurement.seconds)} messages a second while being profiled, which slows it down.

${markdownTable([['process', 'CPU µs/msg'], ['service', short(perMessage(serverCpuSeconds))], ['PostgreSQL', short(perMessage(postgresCpuSeconds))], ['load generator', short(perMessage(generatorCpuSeconds))]])}

${profiles.length === 0 ? '' : functionTables(profiles, measurement, perMessage(serverCpuSeconds))}
${measurement.statements === null ? 'pg_stat_statements is not loaded in this PostgreSQL: nothing is known of its statements.\n' : statementTable(measurement.statements, messages)}`
}

function functionTables (profiles: readonly CpuProfile[], { beganAtUs, endedAtUs }: Measurement, serverMicroseconds: number | null): string {
  const functions = selfTimes(profiles, beganAtUs, endedAtUs)
  const microseconds = (share: number): string => short(serverMicroseconds === null ? null : share * serverMicroseconds)
  return `## The service

Shares of the time that it was busy during the measurement; microseconds are those shares of the CPU time of a message.

${markdownTable([['part', 'share', 'µs/msg'], ...timesByPart(functions).filter(({ share }) => share >= 0.005).map(({ part, share }) => [part, percent(share), microseconds(share)])])}

${markdownTable([['function itself', 'where', 'share', 'µs/msg'], ...functions.slice(0, FUNCTIONS).map(({ name, place, share }) => [`\`${name}\``, place, percent(share), microseconds(share)])])}
`
}

function statementTable (statements: NonNullable<Measurement['statements']>, messages: number): string {
  return `## PostgreSQL

Time from the beginning to the end of a statement, waiting included, during the measurement alone. Those inside functions are part of the
time of the statement that called the function.

${markdownTable([
  ['statement', 'sent by', 'calls', 'rows', 'mean ms', 'µs/msg', 'pages read', 'read ms', 'WAL B/msg'],
  ...statements.slice(0, STATEMENTS).map(({ query, isTop, calls, rows, totalMs, pagesRead, readMs, walBytes }) => [
    `\`${query.replace(/\s+/g, ' ').slice(0, QUERY_CHARACTERS).replaceAll('`', '\'')}\``,
    isTop ? 'client' : 'function',
    count(calls),
    count(rows),
    short(totalMs / calls),
    short(totalMs * 1000 / messages),
    count(pagesRead),
    short(readMs),
    count(walBytes / messages)
  ])
])}
`
}
