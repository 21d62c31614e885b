import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { openWs } from './links.ts'

/** Where an application that listens can be reached. */
export async function listen (app: FastifyInstance): Promise<string> {
  return (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
}

export interface Refusal {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

/** A request for a WebSocket: null when it is granted, else the answer. */
export async function connectOrRefusal (t: Test, url: string, headers: Record<string, string> = {}): Promise<Refusal | null> {
  const { ws, socket } = openWs(t, url, headers)
  ws.on('error', () => {})
  const refused = once(ws, 'unexpected-response') as Promise<[unknown, IncomingMessage]> // what ws emits
  const opened = once(ws, 'open')
  for (const outcome of [refused, opened]) outcome.catch(() => {})
  await Promise.race([refused, opened])
  if (ws.readyState === WebSocket.OPEN) {
    ws.terminate()
    return null
  }
  const [, response] = await refused
  const refusal = { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
  socket.destroy()
  return refusal
}
