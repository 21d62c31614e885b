import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { FieldError } from '../services/json/field-error.ts'
import type { Acknowledgement, AckResult } from '../services/queue/types.ts'
import { ackGroup, acknowledgement, ackStatus } from './acknowledgement.ts'
import { isObject, readObject, requiredText } from './body.ts'
import { sendJsonText } from './json-text.ts'
import { ackSchemas } from './schemas/ack.ts'

/** POST /api/v1/ack and /api/v1/ack/batch. Both answer an array, with status 200 also where single items failed. */
export async function ackRoutes (app: FastifyInstance, { maxItems }: { maxItems: number }): Promise<void> {
  const config = { ...exemptFromPressure, access: 'consume', queueIn: 'handler' } as const
  const schemas = ackSchemas({ maxItems })

  app.post('/api/v1/ack', { config, schema: schemas.one }, async (request, reply) => {
    const ack = singleAck(readObject(requiredText(request)))
    await app.auth.checkPartitions(request.regentCaller, [ack.partitionId], () => 'partitionId')
    return await sendJsonText(reply, resultsText(await app.queue.ack([ack])))
  })

  app.post('/api/v1/ack/batch', { config, schema: schemas.batch }, async (request, reply) => {
    const body = readObject(requiredText(request))
    if (!Array.isArray(body.acknowledgments)) throw new FieldError('acknowledgments', 'required', 'acknowledgments array is required')
    if (body.acknowledgments.length > maxItems) {
      throw new FieldError('acknowledgments', 'too_many', `acknowledgments: At most ${maxItems} items are allowed`)
    }
    const group = ackGroup(body.consumerGroup, 'consumerGroup')
    const acks = body.acknowledgments.map((item: unknown, i) => batchAck(item, `acknowledgments[${i}]`, group))
    await app.auth.checkPartitions(request.regentCaller, acks.map(ack => ack.partitionId), i => `acknowledgments[${i}].partitionId`)
    return await sendJsonText(reply, resultsText(await app.queue.ack(acks)))
  })
}

function singleAck (body: Record<string, unknown>): Acknowledgement {
  const { transactionId, partitionId, status } = body
  if (typeof transactionId !== 'string') throw new FieldError('transactionId', 'required', 'transactionId is required')
  if (typeof partitionId !== 'string') {
    throw new FieldError('partitionId', 'required', 'partitionId is required to ensure message uniqueness')
  }
  const word = typeof status === 'string' ? ackStatus(status) : 'completed'
  return acknowledgement(body, transactionId, partitionId, ackGroup(body.consumerGroup, 'consumerGroup'), word, '')
}

function batchAck (item: unknown, path: string, group: string): Acknowledgement {
  const fields = isObject(item) ? item : {}
  const { transactionId, partitionId, status } = fields
  if (typeof transactionId !== 'string') {
    throw new FieldError(`${path}.transactionId`, 'required', `${path}: Each acknowledgment must have a valid transactionId string`)
  }
  if (typeof partitionId !== 'string') {
    throw new FieldError(`${path}.partitionId`, 'required',
      `${path}: Each acknowledgment must have a valid partitionId string to ensure message uniqueness`)
  }
  const word = status === undefined || status === null ? 'completed' : typeof status === 'string' ? ackStatus(status) : null
  return acknowledgement(fields, transactionId, partitionId, group, word, 'Retries exhausted')
}

/** The answer, an element per acknowledgement. Neighbours mostly fare the same: what follows their id is built once for them. */
function resultsText (results: AckResult[]): string {
  let out = '['
  let last: AckResult | undefined
  let rest = ''
  for (const [index, result] of results.entries()) {
    if (last === undefined || !isAlike(last, result)) {
      const { success, error, queue, partition, leaseReleased, dlq } = result
      rest = JSON.stringify({ success, error, queueName: queue, partitionName: partition, leaseReleased, dlq }).slice(1)
      last = result
    }
    out += `${index === 0 ? '' : ','}{"index":${index},"transactionId":${JSON.stringify(result.transactionId)},${rest}`
  }
  return out + ']'
}

function isAlike (a: AckResult, b: AckResult): boolean {
  return a.success === b.success && a.error === b.error && a.queue === b.queue && a.partition === b.partition &&
    a.leaseReleased === b.leaseReleased && a.dlq === b.dlq
}
