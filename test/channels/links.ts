import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { decode } from './raw-frames.ts'

/** How a client's bytes reach the server. */
export interface Link {
  /** Of the system, whatever is spoken on it. */
  readonly socket: Socket
  /** @param isLast a message ends with this piece, where there are messages */
  send: (piece: Buffer, isLast: boolean, taken?: () => void) => void
  /** A WebSocket's close code; undefined: it is not closed, or no WebSocket. */
  readonly closeCode: number | undefined
}

export interface Listener {
  /** Bytes have come in. Of a WebSocket: a whole message, which is one frame. */
  take: (bytes: Buffer) => void
  closed: () => void
}

export const TRANSPORTS = ['TCP', 'WebSocket'] as const
export type TransportName = typeof TRANSPORTS[number]

export class TcpLink implements Link {
  readonly socket: Socket
  readonly closeCode = undefined

  constructor (socket: Socket, { take, closed }: Listener) {
    this.socket = socket
    socket.on('data', take)
    socket.on('error', () => {})
    socket.on('close', closed)
    socket.on('end', () => { socket.end() })
  }

  send (piece: Buffer, _isLast: boolean, taken?: () => void): void {
    this.socket.write(piece, taken)
  }
}

export class WsLink implements Link {
  readonly socket: Socket
  readonly ws: WebSocket
  closeCode: number | undefined

  constructor (ws: WebSocket, socket: Socket, { take, closed }: Listener) {
    this.ws = ws
    this.socket = socket
    ws.on('message', (message: Buffer, isBinary) => {
      if (!isBinary || decode(message).frames.length !== 1 || decode(message).rest.length > 0) throw new Error(`a message of ${message.length} bytes that is not one frame`)
      take(message)
    })
    ws.on('error', () => {})
    ws.on('close', code => {
      this.closeCode = code
      closed()
    })
  }

  send (piece: Buffer, isLast: boolean, taken?: () => void): void {
    this.ws.send(piece, { binary: true, fin: isLast }, taken)
  }
}

export async function openTcp (t: Test, port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  t.teardown(() => { socket.destroy() })
  await once(socket, 'connect')
  return socket
}

/** @returns the WebSocket, open or refused, and what it is on */
export function openWs (t: Test, url: string, headers: Record<string, string> = {}): { ws: WebSocket, socket: Socket } {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  t.teardown(() => { socket.destroy() })
  const ws = new WebSocket(url, { headers, createConnection: () => socket })
  return { ws, socket }
}

/** Messages as they are to be sent: the frames in some bytes, and what comes after them in one. */
export function messagesIn (bytes: Buffer): Buffer[] {
  const messages: Buffer[] = []
  let at = 0
  while (bytes.length - at > 68 && bytes[at] === 1 && bytes.length - at > 68 + bytes.readUInt32BE(at + 64)) {
    const end = at + 68 + bytes.readUInt32BE(at + 64)
    messages.push(bytes.subarray(at, end))
    at = end
  }
  return [...messages, bytes.subarray(at)]
}
