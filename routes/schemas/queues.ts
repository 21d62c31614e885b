import { QUEUE_OPTION_RULES } from '../../services/queue/queue-options.ts'
import { BODY_ERRORS, DATABASE_ERRORS, described, errorResponses, flag, looseName, name, object, params, text, uuid } from './shared.ts'
import type { Operation, Schema } from './shared.ts'

type Rule = typeof QUEUE_OPTION_RULES[keyof typeof QUEUE_OPTION_RULES]

/** All options of a queue, as answers have them. */
export const QUEUE_OPTIONS: Schema = object(eachOption(rule => 'min' in rule ? { type: 'integer', minimum: rule.min, maximum: rule.max } : flag))

export const queueSchemas: Record<'configure' | 'remove', Operation> = {
  configure: {
    operationId: 'configureQueue',
    summary: 'Create or configure a queue',
    description: 'What is left out is reset to its default; with `merge` it stays as it is.',
    tags: ['queues'],
    body: {
      ...object({
        queue: name,
        namespace: looseName('A label that queues can be popped by.'),
        task: looseName('Another one.'),
        options: { properties: eachOption(givenOption), description: 'What is no object counts as one without options, and options that are not known are ignored' },
        merge: { type: ['boolean', 'null'], default: false }
      }, ['queue']),
      examples: [{ queue: 'orders', namespace: 'shop', options: { leaseTime: 60, retryLimit: 5 }, merge: true }]
    },
    response: {
      200: {
        description: 'How the queue is configured now',
        ...object({ configured: { const: true }, queue: name, namespace: text, task: text, queueId: uuid, partitionId: described(uuid, 'Of the partition `Default`'), options: QUEUE_OPTIONS })
      },
      ...errorResponses(...BODY_ERRORS, ...DATABASE_ERRORS)
    }
  },
  remove: {
    operationId: 'deleteQueue',
    summary: 'Delete a queue with everything in it',
    description: 'A name that there is none of may be that of a queue with spaces where it has pluses.',
    tags: ['queues'],
    params: params({ queue: name }),
    response: {
      200: { description: 'It is gone', ...object({ deleted: { const: true }, queue: name, existed: described(flag, 'Whether it was there before') }) },
      ...errorResponses('RGT_FIELD_INVALID', ...DATABASE_ERRORS)
    }
  }
}

/** An option as it may be given: null counts as not given, and some clients send numbers as text. */
function givenOption (rule: Rule): Schema {
  if (!('min' in rule)) return { type: ['boolean', 'null'], default: rule.default }
  return {
    default: rule.default,
    anyOf: [{ type: 'integer', minimum: rule.min, maximum: rule.max }, { type: 'string', pattern: '^-?\\d+$', description: 'The same number as text' }, { type: 'null' }]
  }
}

function eachOption (schemaOf: (rule: Rule) => Schema): Record<string, Schema> {
  return Object.fromEntries(Object.entries(QUEUE_OPTION_RULES).map(([option, rule]) => [option, schemaOf(rule)]))
}
