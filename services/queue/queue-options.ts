import { FieldError } from '../json/field-error.ts'

/** The options of a queue, by their wire names. */
export interface QueueOptions {
  priority: number
  /** Seconds; 0 means 60. */
  leaseTime: number
  /** Failed deliveries of a message before it is dead-lettered. */
  retryLimit: number
  /** Milliseconds before a failed message comes again. */
  retryDelay: number
  /** Messages the group furthest behind may have left; a push that would exceed it is refused. 0: no limit. */
  maxSize: number
  /** Seconds after which a message is not delivered any more; 0: never. */
  ttl: number
  /** False: nothing is dead-lettered. Failing messages come again without end, and what is evicted is gone. */
  deadLetterQueue: boolean
  /** False: messages that fail come again without end; only a consumer itself dead-letters them. */
  dlqAfterMaxRetries: boolean
  /** Seconds a message must be old to be delivered. */
  delayedProcessing: number
  /** Seconds a partition must have been quiet to be delivered. */
  windowBuffer: number
  /** Seconds after which it is delivered although it has not been quiet; 0: ten times `windowBuffer`. */
  windowBufferMax: number
  /** Seconds after which messages are deleted, read or not; 0: never. Needs `retentionEnabled`. */
  retentionSeconds: number
  /** Seconds after which messages that every group has acknowledged are deleted; 0: never. Needs `retentionEnabled`. */
  completedRetentionSeconds: number
  retentionEnabled: boolean
  /** Payloads are stored encrypted. */
  encryptionEnabled: boolean
  /** Seconds after which what a group has not acknowledged goes to its dead letters; 0: never. */
  maxWaitTimeSeconds: number
  /** Seconds in which a transaction id is refused as a duplicate; 0: no check. */
  dedupWindowSeconds: number
}

const MAX_INT = 2_147_483_647
const YEAR_SECONDS = 366 * 86_400

type Rule = { default: boolean } | { default: number, min: number, max: number }

/** Defaults and bounds of every option. */
export const QUEUE_OPTION_RULES: { readonly [K in keyof QueueOptions]: Rule & { default: QueueOptions[K] } } = {
  priority: { default: 0, min: -MAX_INT, max: MAX_INT },
  leaseTime: { default: 300, min: 0, max: YEAR_SECONDS },
  retryLimit: { default: 3, min: 0, max: MAX_INT },
  retryDelay: { default: 1000, min: 0, max: 86_400_000 },
  maxSize: { default: 0, min: 0, max: MAX_INT },
  ttl: { default: 0, min: 0, max: MAX_INT },
  deadLetterQueue: { default: true },
  dlqAfterMaxRetries: { default: true },
  delayedProcessing: { default: 0, min: 0, max: YEAR_SECONDS },
  windowBuffer: { default: 0, min: 0, max: YEAR_SECONDS },
  windowBufferMax: { default: 0, min: 0, max: YEAR_SECONDS },
  retentionSeconds: { default: 0, min: 0, max: MAX_INT },
  completedRetentionSeconds: { default: 0, min: 0, max: MAX_INT },
  retentionEnabled: { default: false },
  encryptionEnabled: { default: false },
  maxWaitTimeSeconds: { default: 0, min: 0, max: MAX_INT },
  dedupWindowSeconds: { default: 3600, min: 0, max: 7 * 86_400 }
}

/**
 * Every option of a queue: what is given, else the default. Null counts as not given; unknown names are ignored.
 * @throws FieldError naming the option that is of the wrong type or out of bounds
 */
export function readQueueOptions (given: Readonly<Record<string, unknown>>): QueueOptions {
  const defaults = Object.fromEntries(Object.entries(QUEUE_OPTION_RULES).map(([name, rule]) => [name, rule.default]))
  return { ...defaults, ...readGivenOptions(given) } as unknown as QueueOptions // every key of the rules has its default
}

/** As readQueueOptions, but only what is given. */
export function readGivenOptions (given: Readonly<Record<string, unknown>>): Partial<QueueOptions> {
  const options: Record<string, number | boolean> = {}
  for (const [name, rule] of Object.entries(QUEUE_OPTION_RULES)) {
    const value = Object.hasOwn(given, name) ? given[name] : null
    if (value !== null && value !== undefined) options[name] = readOption(`options.${name}`, value, rule)
  }
  return options
}

function readOption (field: string, value: unknown, rule: Rule): number | boolean {
  if (typeof rule.default === 'boolean') {
    if (typeof value !== 'boolean') throw new FieldError(field, 'type', `${field}: must be true or false`)
    return value
  }
  const { min, max } = rule as Extract<Rule, { min: number }>
  // Some clients send numbers as text.
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number)) throw new FieldError(field, 'type', `${field}: must be a whole number`)
  if (number < min || number > max) throw new FieldError(field, 'range', `${field}: must be between ${min} and ${max}`)
  return number
}
