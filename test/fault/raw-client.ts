// Connections in the test's hands: what is written goes out as it is, and what comes back is kept as it came.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { until } from '../support.ts'

export interface RawReply {
  status: number
  /** Names in lower case. */
  headers: Map<string, string>
  text: string
  /** The body as JSON; undefined when it is none. */
  json: any
}

// Connections that are opened at the same time; more would wait in the server's backlog and be tried again by the kernel.
const OPENED_AT_ONCE = 250
const HEAD_END = '\r\n\r\n'

export class RawConnection {
  readonly socket: Socket
  isClosed = false
  #text = ''
  // Characters of it that are needed to go on.
  #wanted = 0
  #replies: RawReply[] = []
  #onChange: (() => void)[] = []

  constructor (socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', (piece: Buffer) => {
      // A character per byte, so that lengths are those of the wire.
      this.#text += piece.toString('latin1')
      this.#parse()
    })
    socket.on('close', () => {
      this.isClosed = true
      this.#changed()
    })
  }

  /** Complete answers so far, in the order in which they came. */
  get replies (): readonly RawReply[] {
    return this.#replies
  }

  /** Send bytes; resolves once the kernel has taken them or the connection has ended. */
  async write (bytes: string | Buffer): Promise<void> {
    if (this.socket.destroyed) return
    await new Promise<void>(resolve => {
      const closed = (): void => { resolve() }
      this.socket.once('close', closed)
      this.socket.write(bytes, () => {
        this.socket.off('close', closed)
        resolve()
      })
    })
  }

  /** The answer with this number, from 0. Fails when the connection ends before it has come. */
  async reply (number = 0): Promise<RawReply> {
    for (;;) {
      const reply = this.#replies[number]
      if (reply !== undefined) return reply
      if (this.isClosed) throw new Error(`the connection ended after ${this.#replies.length} answers and ${JSON.stringify(this.#text.slice(0, 200))}`)
      await new Promise<void>(resolve => { this.#onChange.push(resolve) })
    }
  }

  /** Wait until the other side has ended the connection. */
  async closed (): Promise<void> {
    while (!this.isClosed) await new Promise<void>(resolve => { this.#onChange.push(resolve) })
  }

  leave (): void {
    this.socket.destroy()
  }

  #changed (): void {
    for (const go of this.#onChange.splice(0)) go()
  }

  #parse (): void {
    while (this.#text.length >= this.#wanted) {
      const headEnd = this.#text.indexOf(HEAD_END)
      if (headEnd < 0) return
      const [line = '', ...fields] = this.#text.slice(0, headEnd).split('\r\n')
      const headers = new Map(fields.map(field => {
        const colon = field.indexOf(':')
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()]
      }))
      const bodyAt = headEnd + HEAD_END.length
      this.#wanted = bodyAt + Number(headers.get('content-length') ?? 0)
      if (this.#text.length < this.#wanted) return
      const text = Buffer.from(this.#text.slice(bodyAt, this.#wanted), 'latin1').toString()
      this.#text = this.#text.slice(this.#wanted)
      this.#wanted = 0
      this.#replies.push({ status: Number(line.split(' ')[1]), headers, text, json: parsed(text) })
      this.#changed()
    }
  }
}

/** Opens connections to a server; those that are still open at the end of the test are dropped. */
export class RawClient {
  readonly #port: number
  readonly #host: string
  readonly #open = new Set<RawConnection>()

  constructor (t: Test, url: string) {
    const { port, hostname } = new URL(url)
    this.#port = Number(port)
    this.#host = hostname
    t.teardown(() => { for (const connection of this.#open) connection.leave() })
  }

  async open (): Promise<RawConnection> {
    const socket = connect(this.#port, this.#host)
    const connection = new RawConnection(socket)
    this.#open.add(connection)
    socket.once('close', () => { this.#open.delete(connection) })
    await Promise.race([once(socket, 'connect'), connection.closed()])
    return connection
  }

  /** Many of them; on each, these bytes are sent. */
  async openMany (count: number, bytes?: (index: number) => string): Promise<RawConnection[]> {
    const opened: RawConnection[] = []
    while (opened.length < count) {
      const width = Math.min(OPENED_AT_ONCE, count - opened.length)
      const from = opened.length
      opened.push(...await Promise.all(Array.from({ length: width }, async (_, i) => {
        const connection = await this.open()
        if (bytes !== undefined) await connection.write(bytes(from + i))
        return connection
      })))
    }
    return opened
  }
}

/** The bytes of a request. With a body its length is named, unless the headers do. */
export function requestText (method: string, path: string, body?: string, headers: Record<string, string> = {}): string {
  const named = { host: 'x', ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }), ...headers }
  return `${method} ${path} HTTP/1.1\r\n${Object.entries(named).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body ?? ''}`
}

export function pollText (queue: string, timeoutMs = 600_000, more = ''): string {
  return requestText('GET', `/api/v1/pop/queue/${queue}?wait=true&timeout=${timeoutMs}${more}`)
}

/** A push of one message into a partition of its own, or into one that is named. */
export function pushText (queue: string, payload: unknown, partition = `p${String(payload)}`): string {
  return requestText('POST', '/api/v1/push', JSON.stringify({ items: [{ queue, partition, payload }] }))
}

/** Wait until the server has ended all of them. */
export async function allClosed (connections: readonly RawConnection[], timeoutMs = 60_000): Promise<void> {
  await until(() => connections.every(({ isClosed }) => isClosed), timeoutMs)
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
