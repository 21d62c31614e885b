import type { Claim } from './claim.ts'
import type { Client } from './client.ts'
import type { Deadlines } from './deadlines.ts'
import type { Exchange } from './exchange.ts'
import { encodeFrame } from './frame.ts'
import type { Failure, Tally } from './tally.ts'
import { AT, ROLE, TYPE } from './wire.ts'

/** How claims and exchanges end. Each party hears of it at most once. */
export class Endings {
  readonly #deadlines: Deadlines
  readonly #tally: Tally

  constructor (deadlines: Deadlines, tally: Tally) {
    this.#deadlines = deadlines
    this.#tally = tally
  }

  /** The claim was answered, or its client is gone. */
  spend (claim: Claim): void {
    this.#deadlines.clear(claim.deadline)
    claim.receiver.claims.delete(claim.id)
    claim.receiver.channel.claims.remove(claim)
  }

  refuseClaim (claim: Claim, text: string): void {
    this.spend(claim)
    claim.receiver.fail(claim.id, text)
  }

  /** Both know, or there is nobody to tell. */
  settle (exchange: Exchange): void {
    const { sender, receiver, requestId } = exchange
    this.#deadlines.clear(exchange.deadline)
    sender.requests.delete(requestId)
    sender.channel.live--
    sender.ended.add(requestId)
    sender.channel.requests.remove(exchange)
    receiver?.assigned.delete(exchange)
    // Either may be held up by what the other has not read; that is no reason any more.
    sender.connection.reconsider()
    receiver?.connection.reconsider()
  }

  /** The reply has arrived in full and everybody has said so. */
  complete (exchange: Exchange): void {
    this.settle(exchange)
    this.#tally.completed++
  }

  /** The reply has arrived in full; the receiver's end is said in its place. */
  standIn (exchange: Exchange): void {
    const { sender, requestId, start } = exchange
    const end = encodeFrame({ type: TYPE.end, flags: ROLE.response, requestId, clientId: sender.id, channelId: sender.channel.id })
    start.copy(end, AT.timeoutMs, AT.timeoutMs, AT.sequence)
    sender.write([end])
    this.complete(exchange)
  }

  /** It is over for both. A receiver takes any error for its own, so one that will finish by itself hears nothing. */
  fail (exchange: Exchange, cause: Failure, text: string): void {
    this.failSender(exchange, cause, text)
    this.tellReceiver(exchange, text)
  }

  failSender (exchange: Exchange, cause: Failure, text: string): void {
    this.settle(exchange)
    this.#tally.failed++
    this.#tally[cause]++
    exchange.sender.fail(exchange.requestId, text)
  }

  /** Its sender has left. */
  abandon (exchange: Exchange): void {
    this.settle(exchange)
    this.#tally.senderLeft++
    this.tellReceiver(exchange, 'sender disconnected')
  }

  tellReceiver ({ receiver, requestId, isSenderDone }: Exchange, text: string): void {
    if (!isSenderDone) receiver?.fail(requestId, text)
  }

  timeOut (exchange: Exchange): void {
    this.fail(exchange, 'timedOut', 'timeout')
  }

  /** The service stops: everything that is live ends. */
  breakOff (client: Client, text: string): void {
    for (const claim of [...client.claims.values()]) this.refuseClaim(claim, text)
    for (const exchange of [...client.requests.values()]) {
      if (exchange.reply.isFinal && exchange.isSenderDone) this.standIn(exchange)
      else this.fail(exchange, 'stopped', text)
    }
  }
}
