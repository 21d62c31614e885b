import type { FastifyInstance } from 'fastify'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { messageId, queueUuid } from '../services/log/ids.ts'
import { readGivenOptions, readQueueOptions } from '../services/queue/queue-options.ts'
import { isObject, readObject, requiredText } from './body.ts'
import { queueSchemas } from './schemas/queues.ts'

/** POST /api/v1/configure and DELETE /api/v1/resources/queues/:queue */
export async function queueRoutes (app: FastifyInstance): Promise<void> {
  app.post('/api/v1/configure', { config: { access: 'write', queueIn: 'handler' }, schema: queueSchemas.configure }, async request => {
    const body = readObject(requiredText(request))
    const { queue } = body
    if (typeof queue !== 'string') throw new FieldError('queue', 'required', 'queue is required')
    checkName(queue, 'queue')
    app.auth.checkQueue(request.regentCaller, queue, 'queue')
    const { merge } = body
    if (merge !== undefined && merge !== null && typeof merge !== 'boolean') throw new FieldError('merge', 'type', 'merge: must be true or false')
    const given = isObject(body.options) ? body.options : {}
    const { queueId, partitionId, namespace, task, options } = await app.queue.configure({
      queue,
      namespace: label(body.namespace, 'namespace'),
      task: label(body.task, 'task'),
      options: merge === true ? readGivenOptions(given) : readQueueOptions(given),
      merge: merge === true
    })
    return { configured: true, queue, namespace, task, queueId: queueUuid(queueId), partitionId: messageId(partitionId, 0), options }
  })

  app.delete<{ Params: { queue: string } }>('/api/v1/resources/queues/:queue', { config: { access: 'admin', queueIn: 'handler' }, schema: queueSchemas.remove }, async request => {
    const { queue } = request.params
    checkName(queue, 'queue')
    // The PHP client writes a space as a plus here, and only here.
    const names = new Set([queue, queue.replaceAll('+', ' ')])
    for (const name of names) {
      if (app.auth.isOpenTo(request.regentCaller, name) && await app.queue.deleteQueue(name)) return { deleted: true, queue, existed: true }
    }
    for (const name of names) app.auth.checkQueue(request.regentCaller, name, 'queue')
    return { deleted: true, queue, existed: false }
  })
}

/** A label; anything but a text counts as not given. */
function label (value: unknown, field: string): string | null {
  if (typeof value !== 'string') return null
  if (value !== '') checkName(value, field)
  return value
}
