import type { Socket } from 'node:net'
import { HEADER_BYTES, MAX_PAYLOAD_BYTES } from '../channels/wire.ts'
import { WsTransport } from '../channels-ws/ws-transport.ts'
import type { Connect } from './connect.ts'

// Idle for so long, the server is asked whether it still exists.
const KEEP_ALIVE_MS = 30_000

/**
 * Connects over WebSocket, where each binary message is a frame.
 * @param headers of the request to connect
 */
export function connectWebSocket (url: string, headers: Readonly<Record<string, string>>): Connect {
  return async (events, signal) => {
    // Who connects over TCP does not need it.
    const { WebSocket } = await import('ws')
    return await new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const ws = new WebSocket(url, { headers, perMessageDeflate: false, maxPayload: HEADER_BYTES + MAX_PAYLOAD_BYTES })
      const giveUp = (): void => { ws.terminate() }
      let failure: Error | undefined
      signal.addEventListener('abort', giveUp, { once: true })
      ws.on('upgrade', ({ socket }: { socket: Socket }) => {
        socket.setKeepAlive(true, KEEP_ALIVE_MS)
        ws.on('open', () => {
          signal.removeEventListener('abort', giveUp)
          resolve(new WsTransport(ws, socket))
        })
      })
      ws.on('message', (message: Buffer) => { events.receive(message) })
      ws.on('error', error => { failure = error })
      ws.on('close', code => {
        signal.removeEventListener('abort', giveUp)
        const error = failure ?? new Error(`closed with code ${code}`)
        // Without an effect once it has been resolved.
        reject(signal.aborted ? signal.reason : error)
        events.closed(error)
      })
    })
  }
}
