import { count, ms, times } from './format.ts'
import { figure, find, latency, ratePerSecond, requestsPerSecond, timesThatOf } from './results.ts'
import type { Report } from './results.ts'

/** A bar the project has set itself. */
export interface Bar {
  text: string
  /** What was measured, in words. */
  measured: string
  /** Null: it was not measured. */
  isReached: boolean | null
}

interface Part {
  /** What is to be reached. */
  text: string
  value: (report: Report) => number | null
  isEnough: (value: number) => boolean
  show: (value: number) => string
}

const atLeast = (limit: number): Part['isEnough'] => value => value >= limit
const below = (limit: number): Part['isEnough'] => value => value < limit

function rate (name: string, limit: number): Part {
  return { text: `≥ ${count(limit)} messages/s`, value: report => medianRate(report, name), isEnough: atLeast(limit), show: value => `${count(value)}/s` }
}

function quantile (name: string, percentile: 'p50Ms' | 'p99Ms', limitMs: number): Part {
  const label = percentile === 'p50Ms' ? 'p50' : 'p99'
  return {
    text: `${label} < ${limitMs} ms`,
    value: report => withSeries(report, name, series => latency(series, percentile)),
    isEnough: below(limitMs),
    show: value => `${label} ${ms(value)} ms`
  }
}

function ratio (name: string, other: string, limit: number, words: string): Part {
  return { text: `≥ ${limit} × ${words}`, value: report => timesThatOf(find(report, name), find(report, other)), isEnough: atLeast(limit), show: value => `${times(value)} ×` }
}

const BARS: { title: string, parts: Part[] }[] = [
  { title: 'push, 100 per request, 16 connections', parts: [rate('push-100', 100_000), quantile('push-100', 'p50Ms', 20), ratio('push-100', 'insert-100', 3, 'the multi-row INSERT')] },
  { title: 'push, 10 per request', parts: [rate('push-10', 50_000)] },
  {
    title: 'push, 1 per request, 64 connections',
    parts: [
      {
        text: '≥ 10 000 requests/s',
        value: report => withSeries(report, 'push-1', requestsPerSecond),
        isEnough: atLeast(10_000),
        show: value => `${count(value)}/s`
      },
      ratio('push-1', 'bare-route', 0.6, 'the bare route')
    ]
  },
  { title: 'pop 1000 and acknowledge, 8 connections', parts: [rate('pop-1000-ack', 120_000)] },
  { title: 'pop 1000 with autoAck', parts: [rate('pop-1000-autoack', 200_000)] },
  { title: 'pop 1 and acknowledge, 16 connections', parts: [rate('pop-1-ack', 5000)] },
  {
    title: '10 consumer groups',
    parts: [{
      text: '≥ 6 × the deliveries of one group',
      value: report => withSeries(report, 'fan-out-10', series => figure(series, 'timesOneGroup')),
      isEnough: atLeast(6),
      show: value => `${times(value)} ×`
    }]
  },
  { title: '1000 sparse partitions at 30 % of the greatest rate', parts: [quantile('sparse-30', 'p50Ms', 10), quantile('sparse-30', 'p99Ms', 50)] }
]

/** Every bar with what was measured: reached only if all its parts are. */
export function judgeBars (report: Report): Bar[] {
  return BARS.map(({ title, parts }) => {
    const judged = parts.map(({ value, isEnough, show }) => {
      const measured = value(report)
      return measured === null ? { text: 'not measured', isReached: null } : { text: show(measured), isReached: isEnough(measured) }
    })
    return {
      text: `${title}: ${parts.map(({ text }) => text).join(', ')}`,
      measured: judged.map(({ text }) => text).join(', '),
      isReached: judged.some(({ isReached }) => isReached === false) ? false : judged.some(({ isReached }) => isReached === null) ? null : true
    }
  })
}

function medianRate (report: Report, name: string): number | null {
  return withSeries(report, name, series => ratePerSecond(series)?.median ?? null)
}

function withSeries (report: Report, name: string, read: (series: NonNullable<ReturnType<typeof find>>) => number | null): number | null {
  const series = find(report, name)
  return series === null ? null : read(series)
}
