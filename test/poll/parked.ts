import type { Test } from 'tap'
import { FaultProxy } from '../fault/proxy.ts'
import { createDatabase, startService, until } from '../support.ts'
import type { Answer, Service } from '../support.ts'

/** A look of the poll registry at the database. */
export const LOOK = /pop_v2/
/** Every statement but those by which health asks whether the database answers, and the notifier whether it hears. */
export const BUT_HEALTH = /^(?!\s*select 1\s*$|select pg_notify)/

/** A service that is watched on its way to PostgreSQL, without the safety net unless asked for. */
export async function startWatched (t: Test, options: Parameters<typeof startService>[1] = {}): Promise<{ service: Service, proxy: FaultProxy }> {
  const proxy = await FaultProxy.start(t, options.databaseUrl ?? await createDatabase(t))
  const service = await startService(t, { safetyNetMs: 0, ...options, databaseUrl: proxy.url })
  proxy.forget()
  return { proxy, service }
}

/** Pops that are parked at the service. */
export async function parked (service: Service): Promise<number> {
  return (await service.call('GET', '/health')).json.load.parkedPops
}

/** Wait until so many pops are parked and nobody is looking for them any more. */
export async function untilParked (service: Service, count: number, proxy?: FaultProxy): Promise<void> {
  await until(async () => await parked(service) === count, 60_000)
  if (proxy === undefined) return
  let seen = -1
  // The looks of the last arrivals: over once a round trip through health brings no new one.
  await until(async () => {
    const before = seen
    await parked(service)
    await new Promise(resolve => setTimeout(resolve, 50))
    seen = proxy.count(LOOK)
    return seen === before
  })
}

export interface Poll {
  answer: Promise<Answer>
  /** Null until it has been answered. */
  result: Answer | null
  leave: () => void
}

/** Begin to pop and go on; `path` is what follows /api/v1/pop/queue/, or from a `?` on a pop over queues. */
export function poll (service: Service, path: string, timeoutMs = 20_000): Poll {
  const gone = new AbortController()
  const route = path.startsWith('?') ? '/api/v1/pop' : '/api/v1/pop/queue/'
  const separator = path.includes('?') ? '&' : '?'
  const begun: Poll = {
    result: null,
    leave: () => { gone.abort() },
    answer: service.call('GET', `${route}${path}${separator}wait=true&timeout=${timeoutMs}`, undefined, { signal: gone.signal })
      .then(answer => {
        begun.result = answer
        return answer
      })
  }
  begun.answer.catch(() => {})
  return begun
}

/** The payloads of a pop's answer. */
export function payloads (answer: Answer): unknown[] {
  return answer.json.messages.map((message: { data: unknown }) => message.data)
}

/** Acknowledge what a pop brought. */
export async function ackAll (service: Service, answer: Answer, status = 'completed'): Promise<Answer> {
  const { messages, consumerGroup } = answer.json
  return await service.call('POST', '/api/v1/ack/batch', {
    acknowledgments: messages.map((message: object) => ({ ...message, status })),
    consumerGroup: consumerGroup === '__QUEUE_MODE__' ? undefined : consumerGroup
  })
}
