import { find, figure, latency, ratePerSecond, sectionOf } from './results.ts'
import type { Report, Series } from './results.ts'
import { barPlot, latencyPlot } from './svg.ts'
import type { BarRow, LatencyRow } from './svg.ts'

export interface Plot {
  /** File name without its ending. */
  name: string
  title: string
  svg: string
}

/** The plots that the report has figures for. */
export function plotsOf (report: Report): Plot[] {
  const push = beside(report, ['push-100', 'push-10', 'push-1', 'buffer-100x100', 'drain-100x100'])
  const consume = beside(report, ['pop-1000-ack', 'pop-1000-autoack', 'pop-1-ack', 'transaction', 'fan-out-10'])
  const latencies = latencyRows(sectionOf(report, 'latency'))
  const channels = sectionOf(report, 'channels').flatMap(series => channelRows(series))
  return [
    ...(push.length > 0 ? [bars('push', 'Pushing, beside floors and peers', 'messages a second', push)] : []),
    ...(consume.length > 0 ? [bars('consume', 'Consuming, beside floors and peers', 'messages a second', consume)] : []),
    ...(latencies.length > 0 ? [{ name: 'latency', title: 'From due to delivered', svg: latencyPlot('From due to delivered', latencies) }] : []),
    ...(channels.length > 0 ? [bars('channels', 'Channels, beside a bare TCP echo', 'exchanges a second', channels)] : [])
  ]
}

function bars (name: string, title: string, unit: string, rows: BarRow[]): Plot {
  return { name, title, svg: barPlot(title, unit, rows) }
}

/** Each workload with what it is compared with below it. */
function beside (report: Report, names: string[]): BarRow[] {
  const shown = new Set<string>()
  return names.flatMap(name => {
    const series = find(report, name)
    if (series === null) return []
    const others = series.compareWith.filter(other => !shown.has(other)).flatMap(other => {
      shown.add(other)
      const found = find(report, other)
      return found === null ? [] : [found]
    })
    return [...rateRow(series, true), ...others.flatMap(other => rateRow(other, false))]
  })
}

function rateRow (series: Series, isOurs: boolean): BarRow[] {
  const value = ratePerSecond(series)
  return value === null ? [] : [{ label: series.title, value, isOurs }]
}

function channelRows (series: Series): BarRow[] {
  const bare = figure(series, 'barePerSecond')
  return [
    ...rateRow(series, true),
    ...(bare === null ? [] : [{ label: 'bare echo', value: { median: bare, min: bare, max: bare }, isOurs: false }])
  ]
}

function latencyRows (all: Series[]): LatencyRow[] {
  return all.map(series => {
    const at = (percentile: 'p50Ms' | 'p90Ms' | 'p99Ms' | 'p999Ms' | 'maxMs'): number => latency(series, percentile) ?? 0
    return { label: series.title, values: { p50Ms: at('p50Ms'), p90Ms: at('p90Ms'), p99Ms: at('p99Ms'), p999Ms: at('p999Ms'), maxMs: at('maxMs') } }
  })
}
