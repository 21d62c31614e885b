import type { Client } from './client.ts'
import type { Endings } from './endings.ts'
import type { Exchange } from './exchange.ts'
import type { Frame } from './frame.ts'
import { STRAY_PAYLOAD, hasStrayPayload } from './frame-rules.ts'
import type { Tally } from './tally.ts'
import { ROLE, TYPE } from './wire.ts'
import type { Id } from './wire.ts'

const CHUNK_ORDER = 'invalid frame: chunk out of order'
const END_ORDER = 'invalid frame: end out of order'
const EARLY_END = 'invalid frame: end before the exchange is over'

/** Hands on the frames of requests that have been opened, byte for byte, to the one they are for. */
export class Relay {
  readonly #endings: Endings
  readonly #tally: Tally
  readonly #clients: ReadonlyMap<Id, Client>

  constructor (clients: ReadonlyMap<Id, Client>, endings: Endings, tally: Tally) {
    this.#clients = clients
    this.#endings = endings
    this.#tally = tally
  }

  /** Whose output a frame would add to; null: nobody's. */
  recipient (client: Client, frame: Frame): Client | null {
    const exchange = this.#exchangeOf(client, frame)
    if (frame.flags === ROLE.response) return exchange?.sender ?? null
    if (exchange !== undefined) return exchange.receiver ?? client
    return client.ended.has(frame.requestId) ? null : client
  }

  /** chunk + request, end + request */
  fromSender (sender: Client, frame: Frame): void {
    const exchange = this.#exchangeOf(sender, frame)
    if (exchange === undefined) {
      this.#unknown(sender, frame)
      return
    }
    const fault = senderFault(exchange, frame)
    if (fault !== null) {
      this.#tally.invalid++
      this.#endings.fail(exchange, 'malformed', fault)
      return
    }
    if (frame.type === TYPE.end) exchange.isSenderDone = true
    if (exchange.receiver !== null) exchange.receiver.write(frame.bytes)
    else if (exchange.isSenderDone) this.#endings.standIn(exchange)
  }

  /**
   * start, chunk, end + response. Late ones and those of others are dropped without a word: the writer would take an
   * error for one of what it does now.
   */
  fromReceiver (receiver: Client, frame: Frame): void {
    const exchange = this.#exchangeOf(receiver, frame)
    if (exchange === undefined) return
    const fault = receiverFault(exchange, frame)
    if (fault !== null) {
      this.#tally.invalid++
      if (fault === EARLY_END) this.#endings.failSender(exchange, 'malformed', fault)
      else this.#endings.fail(exchange, 'malformed', fault)
      return
    }
    if (frame.type === TYPE.start) {
      // A second one would stand where the sender expects data.
      if (exchange.isAccepted) return
      exchange.isAccepted = true
    }
    exchange.sender.write(frame.bytes)
    if (frame.type === TYPE.end) this.#endings.complete(exchange)
  }

  /** The live exchange that this client may write this frame for. */
  #exchangeOf (client: Client, { flags, clientId, requestId }: Frame): Exchange | undefined {
    if (flags !== ROLE.response) return client.requests.get(requestId)
    const exchange = this.#clients.get(clientId)?.requests.get(requestId)
    return exchange?.receiver === client ? exchange : undefined
  }

  #unknown (sender: Client, { requestId }: Frame): void {
    if (sender.ended.has(requestId)) return
    sender.ended.add(requestId)
    this.#tally.invalid++
    sender.fail(requestId, 'no such request')
  }
}

function senderFault (exchange: Exchange, frame: Frame): string | null {
  if (hasStrayPayload(frame)) return STRAY_PAYLOAD
  // Once the reply is complete its receiver may have left; before that, nobody has the request yet.
  if (exchange.receiver === null && !exchange.reply.isFinal) return 'no receiver yet'
  if (frame.type === TYPE.chunk) return exchange.request.take(frame) ? null : CHUNK_ORDER
  return exchange.request.isFinal && !exchange.isSenderDone ? null : END_ORDER
}

function receiverFault (exchange: Exchange, frame: Frame): string | null {
  if (hasStrayPayload(frame)) return STRAY_PAYLOAD
  if (frame.type === TYPE.chunk) return exchange.isAccepted && exchange.reply.take(frame) ? null : CHUNK_ORDER
  return frame.type === TYPE.start || (exchange.reply.isFinal && exchange.isSenderDone) ? null : EARLY_END
}
