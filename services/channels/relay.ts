import type { Client } from './client.ts'
import type { Endings } from './endings.ts'
import type { Exchange } from './exchange.ts'
import type { Frame } from './frame.ts'
import { STRAY_PAYLOAD, hasStrayPayload } from './frame-rules.ts'
import type { Tally } from './tally.ts'
import { TYPE } from './wire.ts'

const CHUNK_ORDER = 'invalid frame: chunk out of order'
const END_ORDER = 'invalid frame: end out of order'

/** Hands on the frames of requests that have been opened, byte for byte, to the one they are for. */
export class Relay {
  readonly #endings: Endings
  readonly #tally: Tally

  constructor (endings: Endings, tally: Tally) {
    this.#endings = endings
    this.#tally = tally
  }

  /**
   * chunk + request, end + request
   * @returns to whom something was written
   */
  fromSender (sender: Client, frame: Frame): Client | null {
    const exchange = sender.requests.get(frame.requestId)
    if (exchange === undefined) return this.#unknown(sender, frame)
    if (hasStrayPayload(frame)) return this.#violates(exchange, STRAY_PAYLOAD, sender)
    const { receiver, reply } = exchange
    if (receiver === null && !reply.isFinal) return this.#violates(exchange, 'no receiver yet', sender)
    if (frame.type === TYPE.chunk) {
      if (!exchange.request.take(frame)) return this.#violates(exchange, CHUNK_ORDER, sender)
    } else {
      if (!exchange.request.isFinal || exchange.isSenderDone) return this.#violates(exchange, END_ORDER, sender)
      exchange.isSenderDone = true
      if (receiver === null) this.#endings.standIn(exchange)
    }
    receiver?.write(frame.bytes)
    return receiver ?? sender
  }

  /**
   * start, chunk, end + response. Late ones and those of others are dropped without a word: the writer would take an
   * error for one of what it does now.
   */
  fromReceiver (receiver: Client, sender: Client | undefined, frame: Frame): Client | null {
    const exchange = sender?.requests.get(frame.requestId)
    if (sender === undefined || exchange === undefined || exchange.receiver !== receiver) return null
    if (hasStrayPayload(frame)) return this.#violates(exchange, STRAY_PAYLOAD, receiver)
    if (frame.type === TYPE.start) {
      // A second one would stand where the sender expects data.
      if (exchange.isAccepted) return null
      exchange.isAccepted = true
    } else if (frame.type === TYPE.chunk) {
      if (!exchange.isAccepted || !exchange.reply.take(frame)) return this.#violates(exchange, CHUNK_ORDER, receiver)
    } else if (exchange.reply.isFinal && exchange.isSenderDone) {
      this.#endings.complete(exchange)
    } else {
      this.#tally.invalid++
      this.#endings.failSender(exchange, END_ORDER)
      return sender
    }
    sender.write(frame.bytes)
    return sender
  }

  #unknown (sender: Client, frame: Frame): Client | null {
    if (sender.ended.has(frame.requestId)) return null
    sender.ended.add(frame.requestId)
    this.#tally.invalid++
    sender.fail(frame.requestId, 'no such request')
    return sender
  }

  #violates (exchange: Exchange, text: string, writer: Client): Client {
    this.#tally.invalid++
    this.#endings.fail(exchange, text)
    return writer
  }
}
