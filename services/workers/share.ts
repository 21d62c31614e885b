import type { RegentOptions } from '../options.ts'

// The main process drains the file buffer, runs the jobs and reads settings.
const CONNECTIONS_OF_MAIN = 4
const FEWEST_CONNECTIONS = 4

/**
 * What the main process of several takes for itself of what the options allow for the whole server. What workers hand on to
 * it they have counted already, and it could not tell whose it is.
 */
export function optionsOfMain (options: Partial<RegentOptions>): Partial<RegentOptions> {
  return { ...options, workerId: `${options.workerId}-main`, poolSize: CONNECTIONS_OF_MAIN, rateLimitRequests: 0 }
}

/**
 * One worker's share of it: connections to the database, memory and pops that wait are divided, with a few connections each at
 * the least.
 * What there is once per server is with the main process.
 */
export function optionsOfWorker (options: Partial<RegentOptions>, number: number, count: number): Partial<RegentOptions> {
  const { poolSize = 0, dedupMemoryMb = 0, deliveryMemoryMb = 0, maxParkedPops = 0 } = options
  return {
    ...options,
    workerId: `${options.workerId}-${number}`,
    poolSize: Math.max(FEWEST_CONNECTIONS, Math.floor((poolSize - CONNECTIONS_OF_MAIN) / count)),
    dedupMemoryMb: Math.max(1, Math.floor(dedupMemoryMb / count)),
    deliveryMemoryMb: Math.max(1, Math.floor(deliveryMemoryMb / count)),
    maxParkedPops: Math.max(1, Math.floor(maxParkedPops / count)),
    fileBufferDir: undefined,
    channelsPort: undefined
  }
}
