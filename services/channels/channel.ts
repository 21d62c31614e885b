import type { Claim } from './claim.ts'
import type { Exchange } from './exchange.ts'
import { Fifo } from './fifo.ts'
import type { Id } from './wire.ts'

/**
 * What waits in one channel. Whatever comes is paired at once if it can be, so when requests and claims both wait they
 * are all of one and the same client: nobody is given a request of its own.
 */
export class Channel {
  readonly id: Id
  /** Requests without a receiver. */
  readonly requests = new Fifo<Exchange>()
  /** Receivers without a request. */
  readonly claims = new Fifo<Claim>()
  /** Connections that belong here. */
  clients = 0
  /** Requests that are not over, those without a receiver included. */
  live = 0

  constructor (id: Id) {
    this.id = id
  }

  /** The oldest claim that can have this request. */
  claimFor (exchange: Exchange): Claim | null {
    // Both waiting: all are of one client, so the first tells for all.
    if (this.requests.size > 0 && this.claims.first?.receiver === exchange.sender) return null
    return this.claims.find(claim => claim.receiver !== exchange.sender)
  }

  /** The oldest request that this claim can have. */
  requestFor (claim: Claim): Exchange | null {
    if (this.claims.size > 0 && this.requests.first?.sender === claim.receiver) return null
    return this.requests.find(exchange => exchange.sender !== claim.receiver)
  }
}
