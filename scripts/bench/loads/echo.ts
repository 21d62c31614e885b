import { randomBytes } from 'node:crypto'
import { AT, ROLE, TYPE } from '../../../services/channels/wire.ts'
import { FrameClient, FrameScanner } from '../frames.ts'
import type { FrameHead } from '../frames.ts'
import type { EchoJob, LoadResult, PreparedLoad } from '../jobs.ts'
import { Tally } from '../tally.ts'

const ID_BYTES = 16
const STALL_MS = 10_000
const LOOK_MS = 100

/**
 * Exchanges by pairs of clients, each pair on a channel of its own, one exchange after the other: start and accept, data
 * and reply, end and end. Against the bare server the same frames go there and back on one connection.
 */
export async function echo (job: EchoJob): Promise<PreparedLoad> {
  const tally = new Tally()
  const payload = randomBytes(job.payloadBytes)
  const pairs = await Promise.all(Array.from({ length: job.pairs }, async () => await Pair.open(job, payload, tally)))
  return {
    async run (): Promise<LoadResult> {
      const startedAt = performance.now()
      let seen = -1
      let seenAt = startedAt
      await new Promise<void>((resolve, reject) => {
        const watch = setInterval(() => {
          const now = performance.now()
          if (tally.messages > seen) {
            seen = tally.messages
            seenAt = now
          } else if (now - seenAt > STALL_MS) finish(new Error('no exchange has come to its end for 10 seconds'))
        }, LOOK_MS)
        const finish = (error?: Error): void => {
          clearInterval(watch)
          if (error === undefined) resolve()
          else reject(error)
        }
        Promise.all(pairs.map(async pair => { await pair.run(startedAt + job.seconds * 1000) })).then(() => { finish() }, finish)
      })
      const seconds = (performance.now() - startedAt) / 1000
      return tally.result(seconds, { figures: { megabytesPerSecond: 2 * tally.messages * job.payloadBytes / seconds / 1024 ** 2 } })
    },
    close () {
      for (const pair of pairs) pair.close()
    }
  }
}

/** A sender and its receiver; the sender alone against the bare server. */
class Pair {
  readonly #sender: FrameClient
  readonly #receiver: FrameClient | null
  readonly #payload: Buffer
  readonly #tally: Tally
  readonly #request = randomBytes(ID_BYTES)
  readonly #claim = randomBytes(ID_BYTES)
  #count = 0
  #startedAt = 0
  #endAt = 0
  #hasReply = false
  #done: () => void = () => {}
  #fail: (error: Error) => void = () => {}

  private constructor (sender: FrameClient, receiver: FrameClient | null, payload: Buffer, tally: Tally) {
    this.#sender = sender
    this.#receiver = receiver
    this.#payload = payload
    this.#tally = tally
    for (const [type, bytes] of [[TYPE.start, 0], [TYPE.chunk, payload.length], [TYPE.end, 0]] as const) {
      sender.prepare(type, ROLE.request, sender.id, bytes)
      // An answer names whom it is for.
      receiver?.prepare(type, ROLE.response, sender.id, bytes)
    }
    receiver?.prepare(TYPE.start, ROLE.receive, receiver.id, 0)
  }

  static async open ({ port, isBare }: EchoJob, payload: Buffer, tally: Tally): Promise<Pair> {
    const channelId = randomBytes(ID_BYTES).toString('latin1')
    const [sender, receiver] = await Promise.all([FrameClient.connect(port, channelId), isBare ? null : FrameClient.connect(port, channelId)])
    return new Pair(sender, receiver, payload, tally)
  }

  async run (endAt: number): Promise<void> {
    this.#endAt = endAt
    await new Promise<void>((resolve, reject) => {
      this.#done = resolve
      this.#fail = reject
      this.#listen(this.#sender, head => { this.#onAnswer(head) })
      if (this.#receiver !== null) this.#listen(this.#receiver, (head, header) => { this.#onRequest(head, header) })
      this.#receiver?.write(TYPE.start, ROLE.receive, this.#nextClaim())
      this.#begin()
    })
  }

  close (): void {
    this.#sender.close()
    this.#receiver?.close()
  }

  #listen (client: FrameClient, onFrame: (head: FrameHead, header: Buffer) => void): void {
    const scanner = new FrameScanner(onFrame, (piece, offset) => {
      if (piece.compare(this.#payload, offset, offset + piece.length) !== 0) this.#fail(new Error('a payload is not what was sent'))
    })
    client.listen(chunk => { scanner.take(chunk) }, error => { this.#fail(error) })
  }

  #begin (): void {
    this.#startedAt = performance.now()
    this.#hasReply = false
    this.#request.writeUInt32BE(++this.#count, 0)
    this.#sender.write(TYPE.start, ROLE.request, this.#request)
  }

  // The sender: start accepted, then the reply, then the end.
  #onAnswer ({ type, payloadBytes }: FrameHead): void {
    if (type === TYPE.start) {
      this.#sender.together(() => { this.#sender.write(TYPE.chunk, ROLE.request, this.#request, this.#payload) })
    } else if (type === TYPE.chunk && payloadBytes === this.#payload.length) {
      this.#hasReply = true
      this.#sender.write(TYPE.end, ROLE.request, this.#request)
    } else if (type === TYPE.end && this.#hasReply) {
      const now = performance.now()
      this.#tally.latency(now - this.#startedAt)
      this.#tally.messages++
      this.#tally.requests++
      if (now < this.#endAt) this.#begin()
      else this.#done()
    } else {
      this.#fail(new Error(`a sender got a frame of type ${type} with ${payloadBytes} bytes`))
    }
  }

  // The receiver: a request for its claim, then the data, then the end; with that it claims again.
  #onRequest ({ type, payloadBytes }: FrameHead, header: Buffer): void {
    const receiver = this.#receiver
    if (receiver === null) return
    const request = header.subarray(AT.requestId, AT.requestId + ID_BYTES)
    if (type === TYPE.start) {
      receiver.write(TYPE.start, ROLE.response, request)
    } else if (type === TYPE.chunk && payloadBytes === this.#payload.length) {
      receiver.together(() => { receiver.write(TYPE.chunk, ROLE.response, request, this.#payload) })
    } else if (type === TYPE.end) {
      receiver.together(() => {
        receiver.write(TYPE.end, ROLE.response, request)
        receiver.write(TYPE.start, ROLE.receive, this.#nextClaim())
      })
    } else {
      this.#fail(new Error(`a receiver got a frame of type ${type} with ${payloadBytes} bytes`))
    }
  }

  #nextClaim (): Buffer {
    this.#claim.writeUInt32BE(this.#claim.readUInt32BE(0) + 1 >>> 0, 0)
    return this.#claim
  }
}
