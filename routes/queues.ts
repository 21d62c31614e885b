import type { FastifyInstance } from 'fastify'
import { FieldError } from '../services/json/field-error.ts'
import { checkName } from '../services/json/names.ts'
import { messageId } from '../services/log/ids.ts'
import { readQueueOptions } from '../services/queue/queue-options.ts'
import { isObject, readObject, requiredText } from './body.ts'

/** POST /api/v1/configure and DELETE /api/v1/resources/queues/:queue */
export async function queueRoutes (app: FastifyInstance): Promise<void> {
  app.post('/api/v1/configure', async request => {
    const body = readObject(requiredText(request))
    const { queue } = body
    if (typeof queue !== 'string') throw new FieldError('queue', 'required', 'queue is required')
    checkName(queue, 'queue')
    const namespace = label(body.namespace, 'namespace')
    const task = label(body.task, 'task')
    const options = readQueueOptions(isObject(body.options) ? body.options : {})
    const { queueId, partitionId } = await app.queue.configure({ queue, namespace, task, options })
    return { configured: true, queue, namespace, task, queueId: queueUuid(queueId), partitionId: messageId(partitionId, 0), options }
  })

  app.delete<{ Params: { queue: string } }>('/api/v1/resources/queues/:queue', async request => {
    const { queue } = request.params
    checkName(queue, 'queue')
    return { deleted: true, queue, existed: await app.queue.deleteQueue(queue) }
  })
}

/** A label; anything but a text counts as none. */
function label (value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '') return ''
  checkName(value, field)
  return value
}

/** A queue's number in the form of a UUID, distinct from every partition and message id. */
function queueUuid (id: number): string {
  return messageId(id, 0).replace('-8000-8', '-8000-9')
}
