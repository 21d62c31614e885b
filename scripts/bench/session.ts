import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BenchOptions } from './arguments.ts'
import { startGenerator, startServer } from './child.ts'
import type { HttpServer } from './child.ts'
import type { BenchCluster } from './cluster.ts'
import type { Measurement } from './measure.ts'
import { startService } from './service.ts'
import type { BenchContext, Workload } from './workloads/context.ts'

export interface Session {
  measurement: Measurement
  /** Where the service left its CPU profiles; null: none were taken. */
  profileDir: string | null
}

/**
 * One repetition of a workload, with a database, a service and a generator of its own that are gone afterwards: no
 * measurement knows of those before it.
 * @param stopped rejects when all is to be given up
 */
export async function runOnce (workload: Workload, cluster: BenchCluster, options: BenchOptions, workers: number, stopped: Promise<never>): Promise<Session> {
  const undo: (() => Promise<void>)[] = []
  const profileDir = options.profile === null ? null : join(resolve(options.profile), workload.name)
  const countsStatements = cluster.hasStatements && (workload.countsStatements === true || profileDir !== null)
  try {
    if (profileDir !== null) {
      await rm(profileDir, { recursive: true, force: true })
      await mkdir(profileDir, { recursive: true })
    }
    await cluster.track(countsStatements ? (profileDir === null ? 'top' : 'all') : 'none')
    const database = await cluster.createDatabase()
    undo.push(database.drop)
    const failures: Promise<never>[] = [stopped]
    const keep = (server: HttpServer): HttpServer => {
      undo.push(server.stop)
      failures.push(server.failed)
      return server
    }
    const startFurtherGenerator: BenchContext['startGenerator'] = () => {
      const generator = startGenerator()
      undo.push(generator.stop)
      return generator
    }
    const context: BenchContext = {
      seconds: options.seconds,
      warmUpSeconds: options.warmUpSeconds,
      database,
      generator: startFurtherGenerator(),
      countsStatements,
      workers,
      startService: async (env = {}) => keep(await startService({ databaseUrl: database.url, workers, profileDir, env })),
      startServer: async script => keep(await startServer(script, { DATABASE_URL: database.url })),
      startGenerator: startFurtherGenerator
    }
    const measured = workload.run(context)
    // A server that ends breaks the load's connections as well: that it ended says more.
    const measurement = await Promise.race([measured, stopped]).catch(async (error: unknown) => {
      await Promise.race([...failures.slice(1), new Promise(resolve => setTimeout(resolve, 100))])
      throw error
    })
    return { measurement, profileDir }
  } finally {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      await step().catch((error: unknown) => { console.error('cleaning up failed:', error) })
    }
  }
}
