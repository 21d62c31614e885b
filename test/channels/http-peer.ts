import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Test } from 'tap'
import type { RegentOptions } from '../../index.ts'
import { startService, until } from '../support.ts'
import type { Service } from '../support.ts'
import { RawClient } from './raw-client.ts'
import type { Hex } from './raw-frames.ts'

/** An HTTP request of which every step is the test's. */
export interface Call {
  outgoing: ClientRequest
  /** The head of the answer, with the body still to come. Rejects when the connection ends before it. */
  answer: Promise<IncomingMessage>
}

export interface Whole { status: number, headers: IncomingMessage['headers'], body: Buffer, text: string, json: any }

/** A request that a receiver was given. */
export interface Taken { id: string, path: string, remainingMs: number, answer: IncomingMessage }

export class HttpChannel {
  /** Where the service is. */
  readonly base: string
  /** A UUID, and how raw clients say it. */
  readonly channel: string
  readonly hex: Hex
  readonly #t: Test

  constructor (t: Test, base: string, channel: string = randomUUID()) {
    this.#t = t
    this.base = base
    this.channel = channel
    this.hex = channel.replaceAll('-', '')
  }

  get path (): string {
    return `/api/v1/channels/${this.channel}/requests`
  }

  call (method: string, path: string, headers: Record<string, string> = {}): Call {
    const outgoing = request(this.base + path, { method, headers, agent: false })
    this.#t.teardown(() => { outgoing.destroy() })
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve)
      outgoing.on('error', reject)
    })
    // Whether it is looked at or not.
    answer.catch(() => {})
    return { outgoing, answer }
  }

  /** Sends a whole request. */
  ask (body: string | Buffer, query = ''): Call {
    const call = this.call('POST', this.path + query)
    call.outgoing.end(body)
    return call
  }

  /** Asks for a request, waiting for it unless the query says otherwise. */
  next (query = '?wait=true&timeout=60000'): Call {
    const call = this.call('GET', `${this.path}/next${query}`)
    call.outgoing.end()
    return call
  }

  async taken (call = this.next()): Promise<Taken> {
    const answer = await call.answer
    const { 'x-channel-request': id, 'x-channel-timeout': remainingMs, location } = answer.headers
    if (answer.statusCode !== 200) throw new Error(`no request: ${answer.statusCode} ${await textOf(answer)}`)
    return { id: String(id), path: String(location), remainingMs: Number(remainingMs), answer }
  }

  reply ({ path }: Pick<Taken, 'path'>, body: string | Buffer): Call {
    const call = this.call('POST', path)
    call.outgoing.end(body)
    return call
  }

  /** As many of the channel's requests wait for a receiver, or receivers for a request. */
  async waiting (what: 'queued' | 'claims', count: number): Promise<void> {
    await until(async () => {
      const { channels } = await (await fetch(`${this.base}/api/v1/status/channels`)).json() as { channels: Shown[] }
      return (channels.find(({ channel }) => channel === this.channel)?.[what] ?? 0) === count
    })
  }
}

type Shown = { channel: string, queued: number, claims: number }

/** A channel of a service in this process. */
export class ServiceChannel extends HttpChannel {
  readonly service: Service

  constructor (t: Test, service: Service) {
    super(t, service.url)
    this.service = service
  }

  /** A client of the same channel that speaks its frames. */
  async raw (t: Test): Promise<RawClient> {
    return await RawClient.connect(t, this.service.channels().address()?.port ?? 0, this.hex)
  }

  /** Nothing is under way any more, and nothing is left of what was. */
  async isEmpty (): Promise<boolean> {
    const { broker } = this.service.channels()
    await until(() => Object.values(broker.figures()).every(count => count === 0))
      .catch(() => { throw new Error(`left behind: ${JSON.stringify(broker.figures())}`) })
    return true
  }
}

/** A service with a TCP port for channels, and a channel of it. */
export async function startHttpChannel (t: Test, options: Partial<RegentOptions> = {}): Promise<ServiceChannel> {
  return new ServiceChannel(t, await startService(t, { channelsPort: 0, ...options }))
}

export async function bytesOf (message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(part as Buffer) // nothing decodes it
  return Buffer.concat(parts)
}

export async function textOf (message: IncomingMessage): Promise<string> {
  return (await bytesOf(message)).toString()
}

export async function whole ({ answer }: Call): Promise<Whole> {
  const message = await answer
  const body = await bytesOf(message)
  const text = body.toString()
  const isJson = message.headers['content-type']?.startsWith('application/json') === true
  return { status: message.statusCode ?? 0, headers: message.headers, body, text, json: isJson ? JSON.parse(text) : undefined }
}
