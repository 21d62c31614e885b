/** What a pop asks for: a queue, one partition of it, or every queue with a namespace and/or task. */
export interface Target {
  queue: string | null
  partition: string | null
  namespace: string | null
  task: string | null
}

/** Where a consumer group starts when this pop is what creates it. */
export type Subscription =
  | { mode: 'all' }
  /** From the moment the request arrived. */
  | { mode: 'new' }
  /** From a time, as ISO text. */
  | { mode: 'timestamp', from: string }

export interface PopRequest {
  target: Target
  group: string
  /** Most messages, over all partitions together. */
  batch: number
  /** Most partitions to claim. */
  partitions: number
  /** Commit on delivery and take no lease. */
  autoAck: boolean
  subscription: Subscription
  /** How long to wait for messages; 0: answer after the first look. */
  waitMs: number
}

/** A run of messages of one partition, as stored: one line a message, positions `first` .. `last`. */
export interface Run {
  partitionId: number
  partition: string
  groupId: number
  first: number
  last: number
  /** The time they share, UTC with microseconds. */
  createdAt: string
  body: string
  /** Positions in between that were acknowledged before and are left out, as a PostgreSQL multirange. */
  skip: string | null
  /** `position:deliveries:failures,…` of messages that were delivered before. */
  attempts: string | null
}

/** What one pop got. */
export interface Delivery {
  queue: string
  namespace: string
  task: string
  /** Null with `autoAck`. */
  leaseId: string | null
  runs: Run[]
}

/** What one look at a target brought. */
export interface Look {
  /** Per request of the spec, in order; null: nothing for it. */
  deliveries: (Delivery | null)[]
  state: 'ok' | 'no_queue' | 'no_partition' | 'lease_held' | 'partial' | 'unfinished'
  /** When the next message becomes available by time alone; null: not foreseeable. */
  nextMs: number | null
}

/** What to look at, for whom. The requests are in order of arrival. */
export interface LookSpec {
  target: Target
  group: string
  subscription: Subscription
  /**
   * How long the request that brought the subscription has waited by now. Asked when the look is sent: a new group that
   * begins "now" begins when it was asked for, also when the look had to wait for its turn.
   */
  waitedMs: () => number
  requests: { batch: number, partitions: number, autoAck: boolean, waits: boolean, token: string }[]
}
