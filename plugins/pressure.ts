import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import underPressure from '@fastify/under-pressure'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Read by @fastify/under-pressure: called instead of answering 503. */
    pressureHandler?: () => void
  }
}

/**
 * Answers 503 before the process falls over, judged by event-loop delay alone. No database check: it would answer 503
 * on every route while the database is away. Routes that drain work (pop, ack, lease) and health are exempt by their
 * `config.pressureHandler`.
 */
async function pressurePlugin (app: FastifyInstance, { maxEventLoopDelayMs }: { maxEventLoopDelayMs: number }): Promise<void> {
  await app.register(underPressure, { maxEventLoopDelay: maxEventLoopDelayMs, retryAfter: 1 })
}

/** For `config` of a route that must be served under pressure. */
export const exemptFromPressure = { pressureHandler: (): void => {} }

export default fp(pressurePlugin, { name: 'regent-pressure', fastify: '5.x' })
