import { isSpanContextValid } from '@opentelemetry/api'
import type { Link, Span, SpanContext } from '@opentelemetry/api'
import { traceparentOf } from '../log/line.ts'
import type { Delivery, PopRequest } from '../poll/types.ts'
import { messagesIn } from '../queue/messages-in.ts'
import { MOST_LINKS } from './scopes.ts'

const SYSTEM = { 'messaging.system': 'regent' }

/** Say of a request's span which messages it has brought, by the semantic conventions for messaging. */
export function describeSend (span: Span, messages: readonly { queue: string }[]): void {
  span.setAttributes({ ...SYSTEM, 'messaging.operation.type': 'send', 'messaging.operation.name': 'push', 'messaging.batch.message_count': messages.length })
  const [first] = messages
  if (first !== undefined && messages.every(({ queue }) => queue === first.queue)) span.setAttribute('messaging.destination.name', first.queue)
}

/** Say of a pop's span what it was given, with links to the traces that its messages are part of. */
export function describeReceive (span: Span, { target, group }: PopRequest, delivery: Delivery | null): void {
  const queue = delivery?.queue ?? target.queue
  const { count, links } = delivery === null ? { count: 0, links: [] } : contentOf(delivery)
  span.setAttributes({
    ...SYSTEM,
    'messaging.operation.type': 'receive',
    'messaging.operation.name': 'pop',
    'messaging.consumer.group.name': group,
    'messaging.batch.message_count': count,
    ...(queue === null ? {} : { 'messaging.destination.name': queue })
  }).addLinks(links)
}

/** How many messages a delivery has, and the spans that they come from. */
function contentOf ({ runs }: Delivery): { count: number, links: Link[] } {
  const links = new Map<string, Link>()
  let count = 0
  for (const run of runs) {
    for (const { line } of messagesIn(run)) {
      count++
      const traceparent = links.size < MOST_LINKS ? traceparentOf(line) : null
      if (traceparent === null || links.has(traceparent)) continue
      const context = spanContextOf(traceparent)
      if (isSpanContextValid(context)) links.set(traceparent, { context })
    }
  }
  return { count, links: [...links.values()] }
}

function spanContextOf (traceparent: string): SpanContext {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-')
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}
