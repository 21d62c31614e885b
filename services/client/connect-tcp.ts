import { connect } from 'node:net'
import { TcpTransport } from '../channels-tcp/tcp-transport.ts'
import type { Connect } from './connect.ts'

// Idle for so long, the server is asked whether it still exists.
const KEEP_ALIVE_MS = 30_000

/** Connects over TCP. */
export function connectTcp (host: string, port: number): Connect {
  return async (events, signal) => await new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS })
    const giveUp = (): void => { socket.destroy(signal.reason) }
    let failure: Error | undefined
    signal.addEventListener('abort', giveUp, { once: true })
    socket.once('connect', () => {
      signal.removeEventListener('abort', giveUp)
      resolve(new TcpTransport(socket))
    })
    socket.on('data', bytes => { events.receive(bytes) })
    socket.on('error', error => { failure = error })
    socket.on('close', () => {
      signal.removeEventListener('abort', giveUp)
      // Without an effect once it has been resolved.
      reject(failure ?? new Error('closed'))
      events.closed(failure)
    })
  })
}
