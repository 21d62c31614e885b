import type { Percentiles } from './statistics.ts'

/** What the load generator, a process of its own, can be told to do. */
export type Job = PushJob | AutocannonPushJob | FillJob | ConsumeJob | TransactJob | FlowJob | DrainJob | HoldJob | ReadSlowlyJob | ReleaseJob | EchoJob |
  InsertJob | TakeRowsJob | PgBossPushJob | PgBossTakeJob | GraphilePushJob | GraphileRunJob

interface OverHttp {
  url: string
  queue: string
  connections: number
}

/** Push for a while, each request to one partition, all in turn, each connection as fast as it is answered. */
export interface PushJob extends OverHttp {
  kind: 'push'
  seconds: number
  batch: number
  partitions: number
  /** Messages are numbered from here on; the numbers are in their transaction ids. */
  firstNumber: number
}

/** The same by autocannon, which reads whole answers and keeps statistics: it costs more, and has no part in what we have written. */
export interface AutocannonPushJob extends Omit<PushJob, 'kind'> {
  kind: 'push-autocannon'
}

/** Push messages numbered 0 to `messages` - 1. */
export interface FillJob extends OverHttp {
  kind: 'fill'
  messages: number
  batch: number
  partitions: number
}

/** Pop, and acknowledge unless `autoAck`, until every group has had all of a backlog of `messages`. */
export interface ConsumeJob extends OverHttp {
  kind: 'consume'
  /** Consumer groups; null: none is named. `connections` is for each. */
  groups: string[] | null
  messages: number
  batch: number
  autoAck: boolean
}

/** Pop, then acknowledge that and push as many to another queue in one transaction, until a backlog is gone. */
export interface TransactJob extends OverHttp {
  kind: 'transact'
  target: string
  messages: number
  batch: number
}

/**
 * Producers and waiting consumers at once. At a `rate` pushes are sent when they are due, whatever became of those before
 * them, and latency counts from when they were due. Without one (null) each producer pushes as fast as it is answered,
 * but never so that more than `window` messages are on their way.
 */
export interface FlowJob {
  kind: 'flow'
  url: string
  queue: string
  seconds: number
  /** Messages per second. */
  rate: number | null
  window: number
  producers: number
  pushBatch: number
  partitions: number
  consumers: number
  popBatch: number
  firstNumber: number
}

/** Switch push maintenance off and wait until the file buffer is empty. */
export interface DrainJob {
  kind: 'drain'
  url: string
}

/** Open connections that do nothing and others that wait in a pop, and keep them until they are released. */
export interface HoldJob {
  kind: 'hold'
  url: string
  idle: number
  parked: number
  /** The parked ones are spread over so many queues, to which nothing is pushed. */
  queues: number
}

/** Pop large answers, take them slowly, and keep at it until they are released. */
export interface ReadSlowlyJob {
  kind: 'read-slowly'
  url: string
  queue: string
  readers: number
  /** Messages of each one's answer. */
  batch: number
  bytesPerSecond: number
}

/** Close what is held, and see whether it was still there. */
export interface ReleaseJob { kind: 'release' }

/** Request and reply over channel frames, by pairs of clients, or against a server that sends back what it gets. */
export interface EchoJob {
  kind: 'echo'
  port: number
  pairs: number
  payloadBytes: number
  seconds: number
  /** The server itself sends the frames back: there are no receivers. */
  isBare: boolean
}

interface OverSql {
  url: string
  connections: number
  batch: number
}

/** The floor of pushing: plain inserts. */
export interface InsertJob extends OverSql {
  kind: 'insert'
  table: string
  seconds: number
  partitions: number
  firstNumber: number
}

/** The floor of consuming: select and delete batches until `rows` are gone. */
export interface TakeRowsJob extends OverSql {
  kind: 'take-rows'
  table: string
  rows: number
  partitions: number
}

/** The peers warm up by themselves, before the clock starts: with the same load, or with some messages of their own. */
export interface PgBossPushJob extends OverSql { kind: 'pg-boss-push', seconds: number, warmUpSeconds: number }
export interface PgBossTakeJob extends OverSql { kind: 'pg-boss-take', messages: number, warmUpMessages: number }
export interface GraphilePushJob extends OverSql { kind: 'graphile-push', seconds: number, warmUpSeconds: number }
/** Run jobs that do nothing; the worker takes them one by one. */
export interface GraphileRunJob { kind: 'graphile-run', url: string, connections: number, messages: number, warmUpMessages: number }

/** What comes after a job, which is only prepared at first: do it, then close what it has opened. */
export type Step = { kind: 'begin' } | { kind: 'end' }

export interface LoadResult {
  seconds: number
  requests: number
  messages: number
  /** Of a request; of a pop with its acknowledgement; of a statement or a pair of them; of a message from end to end. Null where there is no such thing. */
  latency: Percentiles | null
  nextNumber: number
  /** What else a load found out. */
  figures: Record<string, number>
  /** What was wrong with answers: none, or the figures mean nothing. */
  faults: string[]
}

/** A load whose connections are open: what comes before the clock starts is done. */
export interface PreparedLoad {
  run (): Promise<LoadResult>
  close (): Promise<void> | void
}
