import { STATUS_CODES } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Log } from '../queue/types.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

// A client that takes nothing of its answer for so long is let go, and what it popped is given back.
const STALLED_ANSWER_MS = 60_000
// Requests on one connection that wait for the answer to another one before them. A parked pop takes 8 KB: without a limit,
// one client could park millions.
const MOST_PIPELINED = 1000
// Requests that were on their way when the server stopped listening have been read by then.
const UNUSED_GRACE_MS = 500
const HEADERS = SECURITY_HEADERS.map(([name, value]) => `${name}: ${value}\r\n`).join('')

/** What does not become a request meets no error handler; its answer has the same shape as all others. */
export function refuseUnreadable (error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const status = isSlow ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
  const reason = STATUS_CODES[status] ?? ''
  const body = JSON.stringify({ success: false, error: reason, code: 'RGT_REQUEST_INVALID', retryable: isSlow })
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json\r\n${HEADERS}content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`)
  }
  socket.destroy()
}

/**
 * Node has a timeout for sockets on which nothing happens, but nothing happens during a long poll either: it is set from
 * the answer's first byte to its last.
 */
export function dropWhenStalled (answer: ServerResponse): void {
  // Until the answers before it have been sent, it has no socket.
  if (answer.socket === null) answer.once('socket', (socket: Socket) => { socket.setTimeout(STALLED_ANSWER_MS) })
  else answer.socket.setTimeout(STALLED_ANSWER_MS)
  // Before Node's own listener, which sets the time for which the connection is kept.
  answer.prependOnceListener('finish', () => { answer.socket?.setTimeout(0) })
}

/**
 * Keeps what the process may still open for itself: once clients' connections have taken it all, neither database nor
 * files can be reached, and reading its own memory throws.
 */
export function limitConnections (server: Server, ownDescriptors: number, log: Log): void {
  const limit = openFilesLimit()
  if (limit === null) return
  server.maxConnections = Math.max(limit - ownDescriptors, Math.ceil(limit / 2))
  server.on('drop', onceRefused(log, server.maxConnections, limit))
}

/**
 * The same for one of several processes on a port. To node:cluster its `maxConnections` would mean that another one is to
 * have the connection, so when all are full it would be offered for ever. What is handed on to the main process counts
 * there and twice here: once more for the way.
 */
export function limitWorkerConnections (server: Server, ownDescriptors: number, log: Log): void {
  const limit = openFilesLimit()
  if (limit === null) return
  const most = Math.max(Math.floor((limit - ownDescriptors) / 2), Math.ceil(limit / 4))
  const refused = onceRefused(log, most, limit)
  let open = 0
  server.prependListener('connection', (socket: Socket) => {
    open++
    socket.once('close', () => { open-- })
    if (open <= most) return
    refused()
    socket.destroy()
  })
}

/** Files and sockets this process may have open; null where there is no limit. */
function openFilesLimit (): number | null {
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft: number | 'unlimited' } } }
  const limit = userLimits?.open_files?.soft
  // Windows has none.
  return typeof limit === 'number' ? limit : null
}

function onceRefused (log: Log, maxConnections: number, openFiles: number): () => void {
  let wasSaid = false
  return () => {
    if (wasSaid) return
    wasSaid = true
    log.warn({ maxConnections, openFiles }, 'connections are being refused: raise the limit of open files')
  }
}

/** Ends connections on which far more is asked than answered. */
export function limitPipelining (server: Server): void {
  const waiting = new WeakMap<Socket, number>()
  server.on('request', ({ socket }: IncomingMessage, answer: ServerResponse) => {
    // It has its socket as soon as it is its turn.
    if (answer.socket !== null) return
    const before = waiting.get(socket) ?? 0
    waiting.set(socket, before + 1)
    if (before >= MOST_PIPELINED) socket.destroy()
    else answer.once('socket', () => { waiting.set(socket, (waiting.get(socket) ?? 1) - 1) })
  })
}

/**
 * A server that closes waits for its connections: for ever for those on which nothing was ever sent (browsers open some
 * in advance), and as long as a stalled client likes.
 * @returns to be called when closing begins: drops the first kind soon and everything after `patienceMs`
 */
export function followConnections (server: Server, patienceMs: number): () => void {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return () => {
    setTimeout(() => {
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    }, UNUSED_GRACE_MS).unref()
    setTimeout(() => { server.closeAllConnections() }, patienceMs).unref()
  }
}
