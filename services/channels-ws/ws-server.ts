import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import type { Broker } from '../channels/broker.ts'
import type { Clock } from '../channels/deadlines.ts'
import { Frame } from '../channels/frame.ts'
import type { FrameFault } from '../channels/frame.ts'
import { AT, HEADER_BYTES, MAX_PAYLOAD_BYTES, VERSION } from '../channels/wire.ts'
import { KeepAlive } from './keep-alive.ts'
import { MessageBounds } from './message-bounds.ts'
import { WsTransport } from './ws-transport.ts'

// What a message that is not whole may consist of: a piece costs memory besides its bytes.
const MAX_PIECES = 16 * 1024

export interface WsServerOptions {
  broker: Broker
  clock?: Clock
}

/** The broker's door for WebSocket clients: a binary message is a frame, and nothing else is. */
export class WsServer {
  readonly #broker: Broker
  readonly #keepAlive: KeepAlive
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: HEADER_BYTES + MAX_PAYLOAD_BYTES,
    maxFragments: MAX_PIECES,
    maxBufferedChunks: MAX_PIECES
  })

  #fault: Error | null = null

  constructor ({ broker, clock }: WsServerOptions) {
    this.#broker = broker
    this.#keepAlive = new KeepAlive(clock)
    this.#server.on('wsClientError', error => { this.#fault = error })
  }

  /**
   * Answers an upgrade request with a WebSocket.
   * @param head what has come after the request
   * @returns null; or what is wrong with the request, which is then to be answered otherwise
   */
  upgrade (request: IncomingMessage, socket: Duplex, head: Buffer): Error | null {
    this.#fault = null
    this.#server.handleUpgrade(request, socket, head, ws => { this.#accept(ws, socket) })
    return this.#fault
  }

  #accept (ws: WebSocket, socket: Duplex): void {
    const keepAlive = this.#keepAlive
    const transport = new WsTransport(ws, socket)
    const connection = this.#broker.connect(transport, 'websocket')
    const bounds = new MessageBounds()
    keepAlive.add(transport)
    ws.on('message', (message: Buffer, isBinary) => {
      const fault = isBinary ? faultOf(message) : 'text'
      if (fault === null) connection.receive(message)
      else connection.reject(new Frame(isBinary && message.length >= HEADER_BYTES ? message.subarray(0, HEADER_BYTES) : Buffer.alloc(HEADER_BYTES), fault))
    })
    // After the reader of messages has seen them.
    socket.on('data', (chunk: Buffer) => {
      keepAlive.heard(transport)
      bounds.push(chunk)
      // The peer has begun the closing handshake, of which it is not told before the end.
      if (ws.readyState !== ws.OPEN) connection.ended()
      else if (bounds.isInside) connection.begun()
    })
    // What is not a WebSocket stream; it is being closed with the code that says why.
    ws.on('error', () => { connection.ended() })
    ws.on('close', () => {
      keepAlive.remove(transport)
      connection.closed()
    })
  }
}

/** Why a binary message is not one frame; null: it is, or its own header says what is wrong with it. */
function faultOf (message: Buffer): FrameFault | null {
  if (message.length > 0 && message[0] !== VERSION) return null
  if (message.length < HEADER_BYTES) return 'length'
  const payloadBytes = message.readUInt32BE(AT.payloadBytes)
  return payloadBytes > MAX_PAYLOAD_BYTES || message.length === HEADER_BYTES + payloadBytes ? null : 'length'
}
