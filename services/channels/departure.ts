import type { Client } from './client.ts'
import type { Endings } from './endings.ts'
import type { Exchange } from './exchange.ts'
import type { Pairing } from './pairing.ts'

/** What becomes of a client's operations when it leaves. */
export class Departure {
  readonly #endings: Endings
  readonly #pairing: Pairing

  constructor (endings: Endings, pairing: Pairing) {
    this.#endings = endings
    this.#pairing = pairing
  }

  of (client: Client): void {
    // Its claims first: a request given back must not come to it again.
    for (const claim of [...client.claims.values()]) this.#endings.spend(claim)
    for (const exchange of [...client.requests.values()]) this.#endings.abandon(exchange)
    const assigned = [...client.assigned]
    // A part of the request that has been handed on cannot be handed on to another.
    const isTaken = (exchange: Exchange): boolean => exchange.isAccepted || exchange.request.hasBegun
    for (const exchange of assigned) {
      if (exchange.reply.isFinal) this.#closeOut(exchange)
      else if (isTaken(exchange)) this.#endings.failSender(exchange, 'receiverLeft', 'receiver disconnected')
    }
    this.#pairing.requeue(assigned.filter(exchange => !exchange.reply.isFinal && !isTaken(exchange)))
  }

  /** The reply is complete, so the sender gets its end; receivers that close right away often lose theirs. */
  #closeOut (exchange: Exchange): void {
    if (exchange.isSenderDone) {
      this.#endings.standIn(exchange)
    } else {
      exchange.receiver?.assigned.delete(exchange)
      exchange.receiver = null
    }
  }
}
