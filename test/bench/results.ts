import type { Report, Repetition, Series } from '../../scripts/bench/report/results.ts'

/** A repetition of a second with so many messages. */
export function repetition (messages: number, more: Partial<Repetition> = {}): Repetition {
  return {
    seconds: 1,
    requests: messages / 100,
    messages,
    latency: { p50Ms: 10, p90Ms: 20, p99Ms: 30, p999Ms: 40, maxMs: 50 },
    nextNumber: 0,
    figures: {},
    faults: [],
    wallSeconds: 1,
    serverCpuSeconds: 0.5,
    postgresCpuSeconds: 0.25,
    generatorCpuSeconds: 0.1,
    serverRssBytes: 100 * 1024 ** 2,
    postgresPssBytes: null,
    walBytes: messages * 400,
    commits: messages / 1000,
    diskBytes: messages * 300,
    ...more
  }
}

export function series (name: string, repetitions: Repetition[], more: Partial<Series> = {}): Series {
  return { name, title: `title of ${name}`, section: 'push', connections: 16, compareWith: [], workers: 1, repetitions, failures: [], ...more }
}

export function report (all: Series[], workers = [1]): Report {
  return {
    machine: { cpu: 'a processor', cores: 2, memoryGb: 8, loadAverage: 0.1, os: 'an OS', node: 'v20', commit: 'abc', date: '2026-01-01T00:00:00.000Z' },
    postgres: { version: '18', isEmbedded: true, settings: { fsync: 'on' } },
    options: { seconds: 1, warmUpSeconds: 0, repeat: 3, workers },
    series: all
  }
}
