import { request } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'

export interface RawAnswer { status: number, headers: Record<string, unknown>, text: string }

/** One request as the socket sees it: the path is sent as it is, and no header is added but those given. */
export async function rawRequest (base: string, method: string, path: string, headers: Record<string, string>, chunks: (string | Buffer)[] = []): Promise<RawAnswer> {
  const { hostname, port } = new URL(base)
  return await new Promise((resolve, reject) => {
    const outgoing = request({ hostname, port, method, path, headers, agent: false }, response => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(parts).toString() }) })
    })
    outgoing.on('error', reject)
    for (const chunk of chunks) outgoing.write(chunk)
    outgoing.end()
  })
}

/** The status line and rest of the answer to bytes written by hand. */
export async function rawBytes (base: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(base)
  return await new Promise((resolve, reject) => {
    let text = ''
    const socket: Socket = connect(Number(port), hostname, () => { socket.write(bytes) })
    socket.on('data', data => { text += data.toString() })
    socket.on('error', reject)
    socket.on('close', () => { resolve(text) })
  })
}
