import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Calls back when the client has gone without the whole answer. Close also follows a complete answer; what counts is
 * whether the answer got out. `finish` and `writableFinished` come as well when the connection went down under the last
 * write: then the socket has been destroyed before.
 */
export function onceGone (request: FastifyRequest, reply: FastifyReply, gone: () => void): void {
  const { socket } = request.raw
  // The answer is out, or its client has gone.
  let isOver = false
  const onClose = (): void => {
    if (isOver) return
    isOver = true
    gone()
  }
  reply.raw.prependOnceListener('finish', () => {
    if (!socket.destroyed) isOver = true
    socket.off('close', onClose)
  })
  reply.raw.once('close', onClose)
  // During what was waited for before: nothing will be said of it any more.
  if (socket.destroyed) queueMicrotask(onClose)
  // An answer that waits behind others on its connection has no socket yet, and does not hear when that closes.
  if (reply.raw.socket === null) {
    socket.setMaxListeners(0)
    socket.once('close', onClose)
  }
}
