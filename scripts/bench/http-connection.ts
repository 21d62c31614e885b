import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface HttpAnswer { status: number, body: string }

/** The head of a request with a JSON body. */
export function postHead (host: string, path: string, bodyBytes: number): string {
  return `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${bodyBytes}\r\n\r\n`
}

export async function openConnections (url: string, count: number): Promise<HttpConnection[]> {
  return await Promise.all(Array.from({ length: count }, async () => await HttpConnection.open(url)))
}

/**
 * One keep-alive connection, one request at a time, for answers with a content length and ASCII bodies. It exists to
 * cost next to nothing: the generator shares the cores with what it measures.
 */
export class HttpConnection {
  readonly #socket: Socket
  readonly #host: string
  #chunks: Buffer[] = []
  #received = 0
  #expected = 0
  #bodyStart = 0
  #waiting: { resolve: (answer: HttpAnswer) => void, reject: (error: Error) => void } | null = null

  private constructor (socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
    socket.setNoDelay(true)
    socket.on('data', chunk => { this.#take(chunk) })
    socket.on('error', error => { this.#fail(error) })
    socket.on('close', () => { this.#fail(new Error('the server closed the connection')) })
  }

  static async open (url: string): Promise<HttpConnection> {
    const { hostname, port, host } = new URL(url)
    const socket = connect(Number(port), hostname)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new HttpConnection(socket, host)
  }

  async get (path: string): Promise<HttpAnswer> {
    return await this.send(`GET ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n\r\n`)
  }

  async post (path: string, body: string): Promise<HttpAnswer> {
    return await this.send(postHead(this.#host, path, Buffer.byteLength(body)) + body)
  }

  /** A whole request; its bytes must not change before it is answered. */
  async send (bytes: string | Buffer): Promise<HttpAnswer> {
    return await new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(bytes)
    })
  }

  /** Is called when the server closes the connection, or it breaks. */
  onClose (listener: () => void): void {
    this.#socket.once('close', listener)
  }

  close (): void {
    this.#socket.removeAllListeners('close')
    this.#socket.once('close', () => { this.#fail(new Error('closed')) })
    this.#socket.destroy()
  }

  #take (chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    if (this.#expected === 0) {
      const start = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
      const end = start.indexOf('\r\n\r\n')
      if (end === -1) return
      const length = /\r\ncontent-length: *(\d+)/i.exec(start.toString('latin1', 0, end))?.[1]
      if (length === undefined) {
        this.#fail(new Error('an answer without content-length'))
        return
      }
      this.#bodyStart = end + 4
      this.#expected = this.#bodyStart + Number(length)
    }
    if (this.#received < this.#expected) return
    const whole = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const answer = { status: Number(whole.toString('latin1', 9, 12)), body: whole.toString('latin1', this.#bodyStart, this.#expected) }
    this.#chunks = []
    this.#received = 0
    this.#expected = 0
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.resolve(answer)
  }

  #fail (error: Error): void {
    this.#waiting?.reject(error)
    this.#waiting = null
  }
}
