/** What a queue of a history is like. */
export interface QueuePlan {
  name: string
  partitions: readonly string[]
  /** Consumer groups; the empty name is the queue itself. */
  groups: readonly string[]
  /** The group that also pops with autoAck. */
  autoGroup?: string
  leaseSeconds: number
  /** Its deduplication windows, in seconds, the first from the start: all far longer than a history, or 0. */
  windows: readonly number[]
  /** Whether it is switched to encryption and back. */
  mayEncrypt?: boolean
  /** Only transactions push to it. */
  isTarget?: boolean
}

export const QUEUES: readonly QueuePlan[] = [
  { name: 'steady', partitions: ['p0', 'p1', 'p2'], groups: ['', 'billing'], leaseSeconds: 4, windows: [3600, 1800] },
  { name: 'brief', partitions: ['p0', 'p1'], groups: ['quick', 'auto'], autoGroup: 'auto', leaseSeconds: 1, windows: [3600] },
  { name: 'sealed', partitions: ['p0', 'p1'], groups: ['vault'], leaseSeconds: 4, windows: [3600], mayEncrypt: true },
  { name: 'plain', partitions: ['p0'], groups: ['all'], leaseSeconds: 4, windows: [0] },
  { name: 'switched', partitions: ['p0'], groups: ['all'], leaseSeconds: 2, windows: [3600, 0] },
  { name: 'derived', partitions: ['p0', 'p1'], groups: ['last'], leaseSeconds: 4, windows: [3600, 1800], isTarget: true }
]

export const RETRY_LIMITS = [1, 0, 2] as const

export function planOf (name: string): QueuePlan {
  const plan = QUEUES.find(queue => queue.name === name)
  if (plan === undefined) throw new Error(`there is no queue ${name}`)
  return plan
}

/** Every message has one place: each id is stored there once. */
export function isDeduplicated ({ windows }: QueuePlan): boolean {
  return windows.every(seconds => seconds > 0)
}

/** An id may stand for several messages; acknowledgements name messages by their ids. */
export function isAmbiguous ({ windows }: QueuePlan): boolean {
  return windows.includes(0)
}

/** What is pushed is stored, whatever its id. */
export function isPlain ({ windows }: QueuePlan): boolean {
  return windows.every(seconds => seconds === 0)
}
