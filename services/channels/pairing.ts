import { Claim } from './claim.ts'
import type { Client } from './client.ts'
import type { Deadlines } from './deadlines.ts'
import type { Endings } from './endings.ts'
import { Exchange } from './exchange.ts'
import type { Frame } from './frame.ts'
import { STRAY_PAYLOAD, hasStrayPayload } from './frame-rules.ts'
import type { ChannelLimits } from './limits.ts'
import type { Refused, Tally } from './tally.ts'
import type { Id } from './wire.ts'

export interface PairingOptions {
  limits: ChannelLimits
  deadlines: Deadlines
  endings: Endings
  tally: Tally
}

const STARTED_TWICE = 'invalid frame: started twice'
const TOO_MANY = 'too many operations'

/** Opens operations and gives each request to exactly one receiver: the oldest to the one that has waited longest. */
export class Pairing {
  readonly #options: PairingOptions

  constructor (options: PairingOptions) {
    this.#options = options
  }

  /** start + request */
  open (sender: Client, frame: Frame): void {
    const { limits, deadlines, endings, tally } = this.#options
    const running = sender.requests.get(frame.requestId)
    if (running !== undefined) {
      tally.invalid++
      endings.fail(running, 'malformed', STARTED_TWICE)
      return
    }
    if (hasStrayPayload(frame)) {
      tally.invalid++
      this.#refuse(sender, frame.requestId, 'malformedStart', STRAY_PAYLOAD)
      return
    }
    if (sender.requests.size >= limits.maxOperations) {
      this.#refuse(sender, frame.requestId, 'tooMany', TOO_MANY)
      return
    }
    const { channel } = sender
    const exchange = new Exchange(sender, frame, deadlines.now)
    const claim = channel.claimFor(exchange)
    if (claim === null && channel.requests.size >= limits.maxQueued) {
      this.#refuse(sender, frame.requestId, 'queueFull', 'queue full')
      return
    }
    tally.opened++
    sender.requests.set(exchange.requestId, exchange)
    channel.live++
    exchange.deadline = deadlines.set(this.#timeout(exchange.timeoutMs), () => { endings.timeOut(exchange) })
    if (claim === null) channel.requests.append(exchange)
    else this.#assign(exchange, claim)
  }

  /** start + receive */
  claim (receiver: Client, frame: Frame): void {
    const { limits, deadlines, endings, tally } = this.#options
    const running = receiver.claims.get(frame.requestId)
    if (running !== undefined) {
      tally.invalid++
      endings.refuseClaim(running, STARTED_TWICE)
      return
    }
    if (hasStrayPayload(frame)) {
      tally.invalid++
      receiver.fail(frame.requestId, STRAY_PAYLOAD)
      return
    }
    if (receiver.claims.size + receiver.assigned.size >= limits.maxOperations) {
      receiver.fail(frame.requestId, TOO_MANY)
      return
    }
    const { channel } = receiver
    const claim = new Claim(frame.requestId, receiver)
    const exchange = channel.requestFor(claim)
    if (exchange !== null) {
      channel.requests.remove(exchange)
      this.#assign(exchange, claim)
      return
    }
    receiver.claims.set(claim.id, claim)
    claim.deadline = deadlines.set(this.#timeout(frame.timeoutMs), () => { endings.refuseClaim(claim, 'timeout') })
    channel.claims.append(claim)
  }

  /** Their receiver has left without having accepted them: they come first again, the oldest before all, within their old timeouts. */
  requeue (exchanges: readonly Exchange[]): void {
    for (const exchange of [...exchanges].reverse()) {
      exchange.receiver?.assigned.delete(exchange)
      exchange.receiver = null
      this.#options.tally.requeued++
      exchange.sender.channel.requests.prepend(exchange)
    }
    for (const exchange of exchanges) {
      const { channel } = exchange.sender
      const claim = channel.claimFor(exchange)
      if (claim === null) continue
      channel.requests.remove(exchange)
      this.#assign(exchange, claim)
    }
  }

  /** Before it is delivered: from now on the request's frames have one place to go. */
  #assign (exchange: Exchange, claim: Claim): void {
    this.#options.endings.spend(claim)
    exchange.receiver = claim.receiver
    claim.receiver.assigned.add(exchange)
    claim.receiver.write([exchange.start])
  }

  #refuse (sender: Client, requestId: Id, cause: Refused, text: string): void {
    // What follows of it on the way is late, not unknown.
    sender.ended.add(requestId)
    this.#options.tally.failed++
    this.#options.tally[cause]++
    sender.fail(requestId, text)
  }

  #timeout (givenMs: number): number {
    return givenMs === 0 ? this.#options.limits.defaultTimeoutMs : givenMs
  }
}
