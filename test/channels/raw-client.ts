import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { TcpLink, WsLink, messagesIn, openTcp, openWs } from './links.ts'
import type { Link, Listener } from './links.ts'
import { CHUNK, END, ERROR, FINAL, RECEIVE, REQUEST, RESPONSE, START, decode, frame, id, text } from './raw-frames.ts'
import type { Fields, Hex, Received } from './raw-frames.ts'

// Generous: it only ends a test that would fail anyway.
const PATIENCE_MS = 30_000

/** A client that writes and sees single frames. */
export class RawClient {
  readonly id: Hex
  readonly channel: Hex
  readonly link: Link
  readonly received: Received[] = []
  isClosed = false
  #rest: Buffer[] = []
  #restBytes = 0
  #wake: () => void = () => {}

  constructor (link: (listener: Listener) => Link, channel: Hex, clientId: Hex) {
    this.channel = channel
    this.id = clientId
    this.link = link({
      take: bytes => { this.#take(bytes) },
      closed: () => { this.isClosed = true; this.#wake() }
    })
  }

  static async connect (t: Test, port: number, channel: Hex, clientId = id()): Promise<RawClient> {
    const socket = await openTcp(t, port)
    return new RawClient(listener => new TcpLink(socket, listener), channel, clientId)
  }

  static async connectWs (t: Test, url: string, channel: Hex, clientId = id()): Promise<RawClient> {
    const { ws, socket } = openWs(t, url)
    const client = new RawClient(listener => new WsLink(ws, socket, listener), channel, clientId)
    await once(ws, 'open')
    return client
  }

  get socket (): Socket {
    return this.link.socket
  }

  #take (chunk: Buffer): void {
    this.#rest.push(chunk)
    this.#restBytes += chunk.length
    const first = this.#rest[0]
    // Large frames come in many pieces: they are put together once.
    if (first !== undefined && first.length >= 68 && this.#restBytes < 68 + first.readUInt32BE(64)) return
    const { frames, rest } = decode(this.#rest.length === 1 ? chunk : Buffer.concat(this.#rest))
    this.#rest = rest.length > 0 ? [rest] : []
    this.#restBytes = rest.length
    this.received.push(...frames)
    if (frames.length > 0) this.#wake()
  }

  bytes (fields: Partial<Fields> & Pick<Fields, 'type' | 'flags' | 'request'>): Buffer {
    return frame({ client: this.id, channel: this.channel, ...fields })
  }

  write (bytes: Buffer): void {
    this.socket.cork()
    for (const message of messagesIn(bytes)) this.link.send(message, true)
    this.socket.uncork()
  }

  /** A part of a frame, which others are to follow. */
  writePart (bytes: Buffer): void {
    this.link.send(bytes, false)
  }

  send (type: number, flags: number, request: Hex, more: Partial<Fields> = {}): Buffer {
    const bytes = this.bytes({ type, flags, request, ...more })
    this.write(bytes)
    return bytes
  }

  /** start + request. */
  open (request = id(), more: Partial<Fields> = {}): Hex {
    this.send(START, REQUEST, request, more)
    return request
  }

  /** start + receive. */
  claim (claim = id(), more: Partial<Fields> = {}): Hex {
    this.send(START, RECEIVE, claim, more)
    return claim
  }

  accept (request: Hex, sender: RawClient): Buffer {
    return this.send(START, RESPONSE, request, { client: sender.id })
  }

  /** All data in one chunk that is not final, then an empty one that is. */
  data (flags: number, request: Hex, payload: Buffer | string, more: Partial<Fields> = {}): void {
    this.send(CHUNK, flags, request, { ...more, sequence: 0, payload })
    this.send(CHUNK, flags, request, { ...more, sequence: FINAL + 1 })
  }

  ask (request: Hex, payload: Buffer | string): void {
    this.data(REQUEST, request, payload)
  }

  reply (request: Hex, sender: RawClient, payload: Buffer | string): void {
    this.data(RESPONSE, request, payload, { client: sender.id })
  }

  /** end + request. */
  done (request: Hex): void {
    this.send(END, REQUEST, request)
  }

  /** end + response. */
  over (request: Hex, sender: RawClient): void {
    this.send(END, RESPONSE, request, { client: sender.id })
  }

  /** The next frame. */
  async next (): Promise<Received> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const next = this.received.shift()
      if (next !== undefined) return next
      if (this.isClosed) throw new Error('closed instead of a frame')
      await this.#change(deadline, 'a frame')
    }
  }

  /** Its next frames in words, as many as are expected. */
  async nextTexts (count: number): Promise<string[]> {
    const texts: string[] = []
    while (texts.length < count) texts.push(text(await this.next()))
    return texts
  }

  async nextError (): Promise<Received> {
    const next = await this.next()
    if (next.type !== ERROR) throw new Error(`${text(next)} instead of an error`)
    return next
  }

  async closed (): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!this.isClosed) await this.#change(deadline, 'the close')
  }

  /**
   * Everything written so far was handled by the server, and everything it had to say by then has arrived: it answers
   * a frame of no known type, in its turn.
   */
  async sync (): Promise<void> {
    const mark = id()
    this.send(9, REQUEST, mark)
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const at = this.received.findIndex(({ request }) => request === mark)
      if (at >= 0) {
        this.received.splice(at, 1)
        return
      }
      if (this.isClosed) throw new Error('closed instead of an answer')
      await this.#change(deadline, 'an answer')
    }
  }

  /** Nothing has arrived that was not looked at. */
  async isQuiet (): Promise<boolean> {
    await this.sync()
    return this.received.length === 0
  }

  async #change (deadline: number, what: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => { reject(new Error(`waited in vain for ${what}`)) }, Math.max(1, deadline - performance.now()))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
