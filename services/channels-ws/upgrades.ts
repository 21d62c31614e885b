import { ServerResponse } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

// On a listener: it is one of ours. On a request: one of ours deals with it. The same in another copy of the package.
const OURS = Symbol.for('regent.upgrades')
// What @fastify/websocket leaves on the requests that it hands to its application, which is on every one that it sees.
const MARK_OF_FASTIFY_WEBSOCKET = 'ws-socket'

export interface UpgradesOptions {
  server: Server
  /** Requests to upgrade on this path are taken. */
  path: string
  /** The application: its hooks decide about such a request as about any other. */
  serve: (request: IncomingMessage, response: ServerResponse) => void
}

/** What a request to upgrade comes with. */
export interface Upgrade {
  socket: Duplex
  /** Bytes that came after it. */
  head: Buffer
}

interface Marked { [OURS]?: boolean }

/**
 * Requests to upgrade, on a server that others may listen on as well. Listeners are all told of every request, and one
 * connection is to be answered by one of them:
 * - those on other paths are left to the listeners of the host. When it has none they are served as though they had not
 *   asked to upgrade, which is what Node does without any listener: many HTTP clients offer HTTP/2 in this way.
 * - ours are handed to the application by us, or by the @fastify/websocket of the host, which takes requests on any path.
 * - a host whose listener answers whatever is not its own (a `ws` server that was given the HTTP server) answers ours too.
 */
export class Upgrades {
  readonly #options: UpgradesOptions
  readonly #arrived = new WeakMap<IncomingMessage, Upgrade>()
  readonly #listener: (request: IncomingMessage, socket: Duplex, head: Buffer) => void

  constructor (options: UpgradesOptions) {
    this.#options = options
    this.#listener = Object.assign((request: IncomingMessage & Marked, socket: Duplex, head: Buffer) => { this.#arrive(request, socket, head) }, { [OURS]: true })
    // Before those that hand it to the application at once.
    options.server.prependListener('upgrade', this.#listener)
  }

  close (): void {
    this.#options.server.off('upgrade', this.#listener)
  }

  /**
   * What this request came with; undefined: it does not ask to upgrade, or not to a WebSocket. Unless it becomes one its
   * connection ends with the answer, whoever has handed it to the application: nobody reads requests from it any more.
   */
  of (request: IncomingMessage, response: ServerResponse): Upgrade | undefined {
    const upgrade = this.#arrived.get(request)
    if (upgrade !== undefined) endWithAnswer(response, upgrade.socket)
    return upgrade
  }

  /** The connection is a WebSocket now: its request is over for whoever counts those that are not. */
  answered (request: IncomingMessage, response: ServerResponse): void {
    const upgrade = this.#arrived.get(request)
    if (upgrade === undefined) return
    response.detachSocket(upgrade.socket as Socket)
    response.emit('close')
  }

  #arrive (request: IncomingMessage & Marked, socket: Duplex, head: Buffer): void {
    const isOurs = this.#isOurs(request)
    const areAlone = this.#options.server.listeners('upgrade').every(listener => OURS in listener)
    if (!isOurs && !areAlone) return
    // Node has taken its own off.
    socket.on('error', destroy)
    if (isOurs) {
      request[OURS] = true
      this.#arrived.set(request, { socket, head })
    }
    const { bytesWritten } = socket as Socket // HTTP is served on these
    // After the other listeners.
    process.nextTick(() => {
      if (isOurs ? (socket as Socket).bytesWritten !== bytesWritten || isDispatched(request) : request[OURS] === true) return
      request[OURS] = true
      const response = new ServerResponse(request)
      // One that has to wait for the answer to an earlier request on its connection cannot be dealt with.
      if (socket.destroyed || !isAssigned(response, socket)) socket.destroy()
      else if (isOurs) {
        endWithAnswer(response, socket)
        this.#options.serve(request, response)
      } else this.#serveAsOrdinary(request, response, socket, head)
    })
  }

  #isOurs ({ method, url = '', headers }: IncomingMessage): boolean {
    return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && url.split('?', 1)[0] === this.#options.path
  }

  /** As a new connection that begins with this request. */
  #serveAsOrdinary ({ method, url, httpVersion, rawHeaders }: IncomingMessage, response: ServerResponse, socket: Duplex, head: Buffer): void {
    response.detachSocket(socket as Socket)
    socket.off('error', destroy)
    const lines = [`${method} ${url} HTTP/${httpVersion}`]
    for (let at = 0; at < rawHeaders.length; at += 2) {
      if (rawHeaders[at]?.toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`)
    }
    socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
    this.#options.server.emit(socket instanceof TLSSocket ? 'secureConnection' : 'connection', socket)
  }
}

function destroy (this: Duplex): void {
  this.destroy()
}

function endWithAnswer (response: ServerResponse, socket: Duplex): void {
  response.shouldKeepAlive = false
  response.once('finish', () => { (socket as Socket).destroySoon() })
}

function isDispatched (request: IncomingMessage): boolean {
  return Object.getOwnPropertySymbols(request).some(({ description }) => description === MARK_OF_FASTIFY_WEBSOCKET)
}

function isAssigned (response: ServerResponse, socket: Duplex): boolean {
  try {
    response.assignSocket(socket as Socket)
    return true
  } catch {
    return false
  }
}
