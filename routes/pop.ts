import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { isTime } from '../services/json/time.ts'
import type { Delivery, PopRequest, Subscription, Target } from '../services/poll/types.ts'
import { QUEUE_MODE } from '../services/queue/types.ts'
import { sendJsonText } from './json-text.ts'
import { onceGone } from './once-gone.ts'
import { deliveryBytes, nothingText } from './pop-reply.ts'
import { Query } from './query.ts'
import { popNumbers, popSchemas } from './schemas/pop.ts'
import type { PopRouteOptions } from './schemas/pop.ts'

/** What is made of the query of a pop. */
type PopRules = ReturnType<typeof popNumbers> & Pick<PopRouteOptions, 'defaultSubscriptionMode'>

// `all` and `earliest` are the others.
const NEW_MODES = new Set(['new', 'new-only', 'latest'])

/** GET /api/v1/pop… : one partition, any partition of a queue, or any queue with a label. */
export async function popRoutes (app: FastifyInstance, options: PopRouteOptions): Promise<void> {
  const schemas = popSchemas(options)
  const rules = { ...popNumbers(options), defaultSubscriptionMode: options.defaultSubscriptionMode }
  // No HEAD routes: one would claim messages and throw them away with its body.
  const labelled = { config: { ...exemptFromPressure, access: 'consume' }, exposeHeadRoute: false } as const
  const route = { ...labelled, config: { ...labelled.config, queueIn: 'path' } } as const

  app.get<{ Params: { queue: string, partition: string } }>('/api/v1/pop/queue/:queue/partition/:partition', { ...route, schema: schemas.ofPartition }, async (request, reply) => {
    const { queue, partition } = request.params
    checkName(partition, 'partition')
    return await pop(app, request, reply, { queue, partition, namespace: null, task: null }, rules)
  })

  app.get<{ Params: { queue: string } }>('/api/v1/pop/queue/:queue', { ...route, schema: schemas.ofQueue }, async (request, reply) => {
    return await pop(app, request, reply, { queue: request.params.queue, partition: null, namespace: null, task: null }, rules)
  })

  app.get('/api/v1/pop', { ...labelled, schema: schemas.byLabel }, async (request, reply) => {
    const query = new Query(request)
    const namespace = query.text('namespace')
    const task = query.text('task')
    if (namespace === null && task === null) throw new FieldError('namespace', 'required', 'namespace or task is required')
    return await pop(app, request, reply, { queue: null, partition: null, namespace, task }, rules)
  })
}

async function pop (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply, target: Target, rules: PopRules): Promise<FastifyReply> {
  const wanted = popRequest(new Query(request), target, rules)
  const gone = new AbortController()
  let delivery: Delivery | null = null
  onceGone(request, reply, () => {
    gone.abort()
    if (delivery !== null) void app.queue.giveBack(wanted.group, delivery)
  })
  delivery = await app.queue.pop(wanted, gone.signal)
  if (delivery !== null && gone.signal.aborted) void app.queue.giveBack(wanted.group, delivery)
  if (delivery === null) {
    app.telemetry?.received(request, wanted, null)
    return await sendJsonText(reply, nothingText(wanted, app.queue.arePopsHeld))
  }
  let bytes: Buffer
  try {
    bytes = deliveryBytes(app.queue.keys, wanted, delivery)
  } catch (error) {
    if (gone.signal.aborted) throw error
    const refused = delivery
    delivery = null
    const rest: Delivery | null = await app.queue.giveBackUnreadable(wanted.group, refused)
    if (rest === null) throw error
    request.log.warn({ err: error }, 'messages that cannot be decrypted here are left out of a delivery')
    if (gone.signal.aborted) void app.queue.giveBack(wanted.group, rest)
    else delivery = rest
    bytes = deliveryBytes(app.queue.keys, wanted, rest)
  }
  app.telemetry?.received(request, wanted, delivery)
  return await reply.type('application/json').send(bytes)
}

function popRequest (query: Query, target: Target, rules: PopRules): PopRequest {
  if (target.queue !== null) checkName(target.queue, 'queue')
  if (target.namespace !== null) checkName(target.namespace, 'namespace')
  if (target.task !== null) checkName(target.task, 'task')
  const group = query.text('consumerGroup') ?? QUEUE_MODE
  checkName(group, 'consumerGroup')
  return {
    target,
    group,
    batch: query.within('batch', rules.batch),
    partitions: query.within('partitions', rules.partitions),
    autoAck: query.flag('autoAck'),
    subscription: group === QUEUE_MODE ? { mode: 'all' } : subscription(query, rules.defaultSubscriptionMode),
    waitMs: query.flag('wait') ? query.within('timeout', rules.timeout) : 0
  }
}

/**
 * Where a new group starts. `subscriptionFrom` wins over the mode. A time that cannot be read, or is missing where the mode
 * asks for one, is refused rather than taken for "from the beginning"; a mode that is not known says nothing.
 */
function subscription (query: Query, defaultMode: string): Subscription {
  const from = query.text('subscriptionFrom')
  if (from === null) {
    const mode = query.text('subscriptionMode') ?? defaultMode
    if (mode === 'timestamp') {
      throw new FieldError('subscriptionFrom', 'required', 'subscriptionFrom: is required with the subscription mode timestamp')
    }
    return NEW_MODES.has(mode) ? { mode: 'new' } : { mode: 'all' }
  }
  if (from === 'now' || from === 'latest') return { mode: 'new' }
  if (from === 'earliest') return { mode: 'all' }
  if (!isTime(from)) {
    throw new FieldError('subscriptionFrom', 'type', 'subscriptionFrom: must be "now", "latest", "earliest" or an ISO 8601 time')
  }
  return { mode: 'timestamp', from }
}
