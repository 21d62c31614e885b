import type { FastifyInstance } from 'fastify'
import { exemptFromPressure } from '../plugins/pressure.ts'
import { readAlikeItems } from '../services/json/alike-items.ts'
import { FieldError } from '../services/json/field-error.ts'
import { quoted } from '../services/json/text.ts'
import type { Acknowledgement, AckResult } from '../services/queue/types.ts'
import { ackGroup, acknowledgement, ackStatus } from './acknowledgement.ts'
import { MAX_ENVELOPE_DEPTH, isObject, readObject, requiredText } from './body.ts'
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
    const acks = readBatch(requiredText(request), maxItems)
    await app.auth.checkPartitions(request.regentCaller, acks.map(ack => ack.partitionId), i => `acknowledgments[${i}].partitionId`)
    return await sendJsonText(reply, resultsText(await app.queue.ack(acks)))
  })
}

/** The acknowledgements of a batch. Most are of one delivery and differ in their transaction id only. */
function readBatch (text: string, maxItems: number): Acknowledgement[] {
  const alike = readAlikeItems(text, 'acknowledgments', 'transactionId', MAX_ENVELOPE_DEPTH)
  if (alike !== null) {
    checkCount(alike.count, maxItems)
    const group = ackGroup(alike.rest.consumerGroup, 'consumerGroup')
    const acks: Acknowledgement[] = []
    for (const { fields, texts } of alike.items) {
      const { partitionId, status, leaseId, error } = batchAck(fields, `acknowledgments[${acks.length}]`, group)
      for (const transactionId of texts) acks.push({ transactionId, partitionId, group, status, leaseId, error })
    }
    return acks
  }
  const body = readObject(text)
  if (!Array.isArray(body.acknowledgments)) throw new FieldError('acknowledgments', 'required', 'acknowledgments array is required')
  checkCount(body.acknowledgments.length, maxItems)
  const group = ackGroup(body.consumerGroup, 'consumerGroup')
  return body.acknowledgments.map((item: unknown, i) => batchAck(item, `acknowledgments[${i}]`, group))
}

function checkCount (count: number, maxItems: number): void {
  if (count > maxItems) throw new FieldError('acknowledgments', 'too_many', `acknowledgments: At most ${maxItems} items are allowed`)
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
    out += `${index === 0 ? '' : ','}{"index":${index},"transactionId":${quoted(result.transactionId)},${rest}`
  }
  return out + ']'
}

function isAlike (a: AckResult, b: AckResult): boolean {
  return a.success === b.success && a.error === b.error && a.queue === b.queue && a.partition === b.partition &&
    a.leaseReleased === b.leaseReleased && a.dlq === b.dlq
}
