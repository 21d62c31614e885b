import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream'
import type { Duplex, Readable } from 'node:stream'

const PREFIX = 'regent-main-'
const NAME = 'http'
// The kernel's sockaddr_un has 104 bytes on some systems, with a closing zero.
const SOCKET_PATH_BYTES = 103
const UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'
// Between one HTTP connection and the next these mean something else.
const OF_ONE_CONNECTION = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'expect'])

/** A path for the socket on which the main process answers its workers, in a folder for this user alone that goes with the process. */
export function makeSocketPath (): string {
  const parent = Buffer.byteLength(join(tmpdir(), `${PREFIX}XXXXXX`, NAME)) <= SOCKET_PATH_BYTES ? tmpdir() : '/tmp'
  const path = join(mkdtempSync(join(parent, PREFIX)), NAME)
  process.once('exit', () => { removeSocketPath(path) })
  return path
}

export function removeSocketPath (path: string): void {
  rmSync(dirname(path), { recursive: true, force: true })
}

/** A request that could not be handed on, or whose answer did not come. */
export class ForwardingError extends Error {
  /** It has reached the main process, which may have acted on it. */
  readonly hasArrived: boolean

  constructor (hasArrived: boolean, cause: unknown) {
    super('the main process did not answer', { cause })
    this.hasArrived = hasArrived
  }
}

/** The HTTP interface of the main process, as its workers reach it. */
export class MainSocket {
  readonly #path: string
  readonly #agent = new Agent({ keepAlive: true })
  readonly #upgraded = new Set<Duplex>()

  constructor (path: string) {
    this.#path = path
  }

  /**
   * Hand a request on and return the answer as it begins; `body` is what the request brings.
   * @param signal ends it: its client has gone
   * @throws ForwardingError
   */
  async request ({ method, url, headers }: Pick<IncomingMessage, 'method' | 'url' | 'headers'>, body: Readable, signal: AbortSignal): Promise<IncomingMessage> {
    return await new Promise((resolve, reject) => {
      const forwarded = httpRequest({ socketPath: this.#path, agent: this.#agent, method, path: url, headers: endToEnd(headers), signal }, resolve)
      let hasArrived = false
      forwarded.once('socket', socket => {
        if (socket.connecting) socket.once('connect', () => { hasArrived = true })
        else hasArrived = true
      })
      forwarded.once('error', error => { reject(new ForwardingError(hasArrived, error)) })
      // What goes wrong is said by the request's own event.
      pipeline(body, forwarded, () => {})
    })
  }

  /** Hand on a request to upgrade, as it came, and from then on what either side says. */
  upgrade ({ method, url, httpVersion, rawHeaders }: IncomingMessage, client: Duplex, head: Buffer): void {
    const lines = [`${method} ${url} HTTP/${httpVersion}`]
    for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`)
    const main = connect(this.#path)
    main.write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
    this.#upgraded.add(client)
    main.once('error', () => {
      // Before anything came: a client that asks for HTTP is to get HTTP.
      if (main.bytesRead === 0 && client.writable) client.write(UNAVAILABLE)
    })
    // Either ends or fails with the other.
    pipeline(client, main, client, () => { this.#upgraded.delete(client) })
  }

  /** Ends what has been upgraded: nothing else would. */
  drop (): void {
    for (const client of this.#upgraded) client.destroy()
  }

  close (): void {
    this.#agent.destroy()
  }
}

/** Headers that are meant for whoever answers in the end. */
export function endToEnd (headers: IncomingMessage['headers']): IncomingMessage['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ONE_CONNECTION.has(name)))
}
