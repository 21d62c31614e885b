import { count, megabytes, ms, percent, short, times } from './format.ts'
import { coreShare, figure, find, latency, memoryBytes, microsecondsPerMessage, microsecondsPerRequest, perMessage, postgresShare, ratePerSecond, requestsPerSecond, sectionOf, timesThatOf } from './results.ts'
import type { Report, Series } from './results.ts'
import type { Section } from '../workloads/context.ts'

type Columns = Record<string, (series: Series) => string>

/** Rates, latencies and what a message costs, of everything that is as fast as it can be. */
export function throughputTable (report: Report, ...sections: Section[]): string[][] {
  return table(sectionOf(report, ...sections), {
    conns: ({ connections }) => String(connections),
    'msg/s': series => count(ratePerSecond(series)?.median ?? null),
    'min – max': spread,
    'req/s': series => count(requestsPerSecond(series)),
    'p50 ms': series => ms(latency(series, 'p50Ms')),
    'p99 ms': series => ms(latency(series, 'p99Ms')),
    'server µs/msg': series => short(microsecondsPerMessage(series, 'serverCpuSeconds')),
    'PostgreSQL µs/msg': series => short(microsecondsPerMessage(series, 'postgresCpuSeconds')),
    'generator µs/msg': series => short(microsecondsPerMessage(series, 'generatorCpuSeconds'))
  })
}

/** What was used, and what was left behind. */
export function resourceTable (report: Report, ...sections: Section[]): string[][] {
  return table(sectionOf(report, ...sections), {
    'server CPU': series => percent(coreShare(series, 'serverCpuSeconds')),
    'PostgreSQL CPU': series => percent(coreShare(series, 'postgresCpuSeconds')),
    'generator CPU': series => percent(coreShare(series, 'generatorCpuSeconds')),
    'generator µs/req': series => short(microsecondsPerRequest(series, 'generatorCpuSeconds')),
    'server RSS': series => megabytes(memoryBytes(series, 'serverRssBytes')),
    'PostgreSQL PSS': series => megabytes(memoryBytes(series, 'postgresPssBytes')),
    'WAL B/msg': series => count(perMessage(series, 'walBytes')),
    'disk B/msg': series => count(perMessage(series, 'diskBytes')),
    'commits/msg': series => short(perMessage(series, 'commits'))
  })
}

/** From when a message was due to be sent to when a consumer has it. */
export function latencyTable (report: Report): string[][] {
  return table(sectionOf(report, 'latency'), {
    'asked msg/s': series => count(figure(series, 'rate')),
    'msg/s': series => count(ratePerSecond(series)?.median ?? null),
    'p50 ms': series => ms(latency(series, 'p50Ms')),
    'p90 ms': series => ms(latency(series, 'p90Ms')),
    'p99 ms': series => ms(latency(series, 'p99Ms')),
    'p99.9 ms': series => ms(latency(series, 'p999Ms')),
    'greatest ms': series => ms(latency(series, 'maxMs')),
    'push p50 ms': series => ms(figure(series, 'pushP50Ms')),
    'push p99 ms': series => ms(figure(series, 'pushP99Ms')),
    'sent late p99 ms': series => ms(figure(series, 'sendDelayP99Ms')),
    'statements/delivery': series => short(figure(series, 'statementsPerDelivery')),
    'server CPU': series => percent(coreShare(series, 'serverCpuSeconds')),
    'PostgreSQL CPU': series => percent(coreShare(series, 'postgresCpuSeconds')),
    'generator CPU': series => percent(coreShare(series, 'generatorCpuSeconds'))
  })
}

/** The same load among much of everything, beside the same with nothing around it. */
export function stayTable (report: Report): string[][] {
  const base = find(report, 'stay-base')
  const timesBase = (series: Series, cpu: 'serverCpuSeconds' | 'postgresCpuSeconds'): string => {
    const [own, alone] = [microsecondsPerMessage(series, cpu), base === null ? null : microsecondsPerMessage(base, cpu)]
    return own === null || alone === null ? 'n/a' : `${times(own / alone)} ×`
  }
  return table(sectionOf(report, 'stay'), {
    'msg/s': series => count(ratePerSecond(series)?.median ?? null),
    'p50 ms': series => ms(latency(series, 'p50Ms')),
    'p99 ms': series => ms(latency(series, 'p99Ms')),
    'server µs/msg': series => short(microsecondsPerMessage(series, 'serverCpuSeconds')),
    'of the base': series => timesBase(series, 'serverCpuSeconds'),
    'PostgreSQL µs/msg': series => short(microsecondsPerMessage(series, 'postgresCpuSeconds')),
    'of the base ': series => timesBase(series, 'postgresCpuSeconds'),
    'server RSS': series => megabytes(memoryBytes(series, 'serverRssBytes')),
    'WAL B/msg': series => count(perMessage(series, 'walBytes'))
  })
}

export function channelTable (report: Report): string[][] {
  return table(sectionOf(report, 'channels'), {
    'exchanges/s': series => count(ratePerSecond(series)?.median ?? null),
    'MB/s': series => short(figure(series, 'megabytesPerSecond')),
    'p50 ms': series => ms(latency(series, 'p50Ms')),
    'p99 ms': series => ms(latency(series, 'p99Ms')),
    'bare exchanges/s': series => count(figure(series, 'barePerSecond')),
    'bare MB/s': series => short(figure(series, 'bareMegabytesPerSecond')),
    'bare p99 ms': series => ms(figure(series, 'bareP99Ms')),
    'share of bare': series => {
      const [own, bare] = [ratePerSecond(series)?.median, figure(series, 'barePerSecond')]
      return percent(own === undefined || bare === null ? null : own / bare)
    },
    'server CPU': series => percent(coreShare(series, 'serverCpuSeconds')),
    'generator CPU': series => percent(coreShare(series, 'generatorCpuSeconds'))
  })
}

/** Each workload beside every floor and peer that does the same, in the same run. */
export function comparisonTable (report: Report): string[][] {
  const rows = sectionOf(report, 'push', 'consume').flatMap(series => series.compareWith.flatMap(name => {
    const other = find(report, name)
    return other === null
      ? []
      : [[series.title, other.title, count(ratePerSecond(series)?.median ?? null), count(ratePerSecond(other)?.median ?? null), `${times(timesThatOf(series, other))} ×`]]
  }))
  return [['workload', 'beside', 'msg/s', 'msg/s of that', 'ratio'], ...rows]
}

/** The same workload with more processes of the service, and which share PostgreSQL has in the CPU time of both; empty without such. */
export function scalingTable ({ series, options }: Report): string[][] {
  if (options.workers.length < 2) return []
  const names = [...new Set(series.filter(({ workers }) => workers !== options.workers[0]).map(({ name }) => name))]
  return [
    ['msg/s (share of PostgreSQL)', ...options.workers.map(workers => `${workers} process${workers === 1 ? '' : 'es'}`)],
    ...names.map(name => {
      const ofName = options.workers.map(workers => series.find(one => one.name === name && one.workers === workers))
      return [ofName[0]?.title ?? name, ...ofName.map(one => one === undefined ? count(null) : `${count(ratePerSecond(one)?.median ?? null)} (${percent(postgresShare(one))})`)]
    })
  ]
}

function spread (series: Series): string {
  const found = ratePerSecond(series)
  return found === null ? '' : `${count(found.min)} – ${count(found.max)}`
}

function table (rows: Series[], columns: Columns): string[][] {
  return [['workload', ...Object.keys(columns)], ...rows.map(series => [series.title, ...Object.values(columns).map(show => show(series))])]
}
