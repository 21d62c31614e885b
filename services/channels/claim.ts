import type { Client } from './client.ts'
import type { Deadline } from './deadlines.ts'
import type { Queued } from './fifo.ts'
import type { Id } from './wire.ts'

/** A receiver's wish for one request. */
export class Claim implements Queued<Claim> {
  previous: Claim | null = null
  next: Claim | null = null
  isQueued = false
  deadline: Deadline | null = null
  readonly id: Id
  readonly receiver: Client

  constructor (id: Id, receiver: Client) {
    this.id = id
    this.receiver = receiver
  }
}
