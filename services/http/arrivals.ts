import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { refuseUnreadable } from './connections.ts'

// Of the limit: how much later than that a slow client may be noticed.
const LOOKS = 12

export interface Arrivals {
  /** This request may take as long as it likes: something else says how long. */
  exempt: (request: IncomingMessage) => void
  /** From now on it may not. */
  watch: (request: IncomingMessage) => void
}

/**
 * The server's limit for a request to arrive whole (`requestTimeout`), counted from the end of its head, but for those that
 * are exempted: Node's own check knows no exceptions, so this takes its place when the server listens.
 */
export function limitArrival (server: Server): Arrivals {
  const watch = (request: IncomingMessage): void => { latest.set(request.socket, { request, since: performance.now() }) }
  /** What came last on a connection: requests before it have arrived. */
  const latest = new Map<Socket, { request: IncomingMessage, since: number }>()
  // First, so that those who answer can exempt it.
  server.prependListener('request', watch)
  // Not kept until the next look: a request holds on to all that its connection has begun.
  server.on('connection', (socket: Socket) => { socket.once('close', () => { latest.delete(socket) }) })
  server.once('listening', () => {
    const limitMs = server.requestTimeout
    if (limitMs === 0) return
    server.requestTimeout = 0
    const timer = setInterval(() => {
      const now = performance.now()
      for (const [socket, { request, since }] of latest) {
        const isLate = now - since > limitMs && !request.complete
        if (isLate || request.complete) latest.delete(socket)
        if (isLate) refuseUnreadable(Object.assign(new Error('the request did not arrive in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
      }
    }, limitMs / LOOKS).unref()
    server.once('close', () => { clearInterval(timer) })
  })
  return {
    exempt: ({ socket }) => { latest.delete(socket) },
    watch: request => { if (!request.complete) watch(request) }
  }
}
