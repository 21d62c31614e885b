import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { IntervalHistogram } from 'node:perf_hooks'
import { residentBytes } from './process-report.ts'

export interface ProcessSample {
  /** Over the time since the last sample, in milliseconds. */
  loopDelayMs: number
  loopDelayMaxMs: number
  /** Share of one core over that time, in hundredths of a percent. */
  cpuUser: number
  cpuSystem: number
  rssBytes: number
  virtualBytes: number
  /** How long that time was. */
  elapsedMs: number
}

const RESOLUTION_MS = 10

/** Reads the figures of this process. */
export class Sampler {
  readonly #histogram: IntervalHistogram
  #cpu = process.cpuUsage()
  #at = performance.now()
  #hasStatus = true

  constructor () {
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    this.#histogram.enable()
  }

  sample (): ProcessSample {
    const now = performance.now()
    const elapsedMs = Math.max(now - this.#at, 1)
    const cpu = process.cpuUsage(this.#cpu)
    const { mean, max, count } = this.#histogram
    this.#histogram.reset()
    this.#at = now
    this.#cpu = process.cpuUsage()
    return {
      // The histogram holds the time between two of its ticks, which is the resolution when nothing is late.
      loopDelayMs: count === 0 ? 0 : Math.max(mean / 1e6 - RESOLUTION_MS, 0),
      loopDelayMaxMs: count === 0 ? 0 : Math.max(max / 1e6 - RESOLUTION_MS, 0),
      cpuUser: cpu.user / elapsedMs * 10,
      cpuSystem: cpu.system / elapsedMs * 10,
      rssBytes: residentBytes(),
      virtualBytes: this.virtualBytes(),
      elapsedMs
    }
  }

  /** Address space of this process; 0 where the system does not tell. */
  virtualBytes (): number {
    if (!this.#hasStatus) return 0
    try {
      return Number(/^VmSize:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? 0) * 1024
    } catch {
      this.#hasStatus = false
      return 0
    }
  }

  close (): void {
    this.#histogram.disable()
  }
}
