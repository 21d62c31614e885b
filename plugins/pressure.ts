import { getHeapStatistics } from 'node:v8'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import underPressure from '@fastify/under-pressure'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Read by @fastify/under-pressure: called instead of answering 503. */
    pressureHandler?: () => void
  }
}

export interface PressurePluginOptions {
  maxEventLoopDelayMs: number
  maxHeapUsedMb: number | undefined
  maxRssMb: number
}

const MB = 1024 * 1024
// At its limit V8 ends the process, and shortly before that it does little but collect garbage.
const SHARE_OF_HEAP_LIMIT = 0.85

/**
 * Answers 503 before the process falls over, judged by event-loop delay and memory alone. No database check: it would answer
 * 503 on every route while the database is away. Routes that drain work (pop, ack, lease) and health are exempt by their
 * `config.pressureHandler`.
 */
async function pressurePlugin (app: FastifyInstance, { maxEventLoopDelayMs, maxHeapUsedMb, maxRssMb }: PressurePluginOptions): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay: maxEventLoopDelayMs,
    maxHeapUsedBytes: maxHeapUsedMb === undefined ? getHeapStatistics().heap_size_limit * SHARE_OF_HEAP_LIMIT : maxHeapUsedMb * MB,
    maxRssBytes: maxRssMb * MB,
    retryAfter: 1
  })
}

/** For `config` of a route that must be served under pressure. */
export const exemptFromPressure = { pressureHandler: (): void => {} }

export default fp(pressurePlugin, { name: 'regent-pressure', fastify: '5.x' })
