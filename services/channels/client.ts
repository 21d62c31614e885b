import type { Channel } from './channel.ts'
import type { Claim } from './claim.ts'
import type { Connection } from './connection.ts'
import { EndedIds } from './ended-ids.ts'
import type { Exchange } from './exchange.ts'
import { encodeError } from './frame.ts'
import type { Id } from './wire.ts'

/** A connection that has said who it is, with its live operations. It may send and receive at once. */
export class Client {
  readonly id: Id
  readonly channel: Channel
  readonly connection: Connection
  /** Its own requests, by their id: another sender may use the same. */
  readonly requests = new Map<Id, Exchange>()
  readonly ended = new EndedIds()
  /** Its claims that wait for a request. */
  readonly claims = new Map<Id, Claim>()
  /** Requests of others that it was given. */
  readonly assigned = new Set<Exchange>()

  constructor (id: Id, channel: Channel, connection: Connection) {
    this.id = id
    this.channel = channel
    this.connection = connection
  }

  write (bytes: readonly Buffer[]): void {
    this.connection.write(bytes)
  }

  fail (requestId: Id, text: string): void {
    this.write([encodeError({ requestId, clientId: this.id, channelId: this.channel.id }, text)])
  }
}
