import type { RawClient } from './raw-client.ts'
import { CHUNK, END, ERROR, FINAL, RECEIVE, REQUEST, RESPONSE, START, id, text } from './raw-frames.ts'
import type { Hex, Received } from './raw-frames.ts'

/** How the original client sends and receives: one operation at a time, a poll before each frame that it waits for. */
export class PollingClient {
  readonly raw: RawClient
  /** Frames of requests other than the current one, which it skips; there should be none. */
  readonly strays: string[] = []

  constructor (raw: RawClient) {
    this.raw = raw
  }

  /** @returns the reply, or null for an error frame, whatever its text */
  async send (message: string, timeoutMs = 30_000, request = id()): Promise<string | null> {
    const { raw } = this
    raw.open(request, { timeoutMs })
    if (await this.#expect(START, request) === null) return null
    raw.data(REQUEST, request, message, { timeoutMs })
    const parts: Buffer[] = []
    for (;;) {
      const chunk = await this.#expect(CHUNK, request)
      if (chunk === null) return null
      parts.push(chunk.payload)
      if (chunk.isFinal) break
    }
    raw.send(END, REQUEST, request, { timeoutMs })
    return await this.#expect(END, request) === null ? null : Buffer.concat(parts).toString()
  }

  /**
   * Take one request and answer it.
   * @param step called with the request's id before each thing that it does; false: it dies there
   * @returns the request's id, or null for an error frame
   */
  async receive (answer: (message: string) => string, step: (request: Hex, done: Stage) => boolean = () => true): Promise<Hex | null> {
    const { raw } = this
    const claim = raw.claim(id(), { timeoutMs: 30_000 })
    const start = await this.#expect(START)
    if (start === null) return null
    const { request } = start
    const back = { client: start.client }
    const dies = (stage: Stage): boolean => {
      if (step(request, stage)) return false
      raw.socket.destroy()
      return true
    }
    if (dies('given')) return null
    raw.send(START, RESPONSE, request, back)
    if (dies('accepted')) return null
    const parts: Buffer[] = []
    for (;;) {
      raw.send(CHUNK, RECEIVE, claim)
      const chunk = await this.#expect(CHUNK)
      if (chunk === null) return null
      if (chunk.request !== request) throw new Error('data of another request')
      parts.push(chunk.payload)
      if (chunk.isFinal) break
    }
    if (dies('read')) return null
    raw.send(CHUNK, RESPONSE, request, { ...back, sequence: 0, payload: answer(Buffer.concat(parts).toString()) })
    if (dies('replying')) return null
    raw.send(CHUNK, RESPONSE, request, { ...back, sequence: FINAL + 1 })
    if (dies('replied')) return null
    raw.send(END, RECEIVE, claim)
    const end = await this.#expect(END)
    if (end === null) return null
    if (end.request !== request) throw new Error('the end of another request')
    if (dies('ended')) return null
    raw.send(END, RESPONSE, request, back)
    return request
  }

  /** @param request only of this one, as a sender does; a receiver takes whatever comes */
  async #expect (type: number, request?: Hex): Promise<Received | null> {
    for (;;) {
      const next = await this.raw.next()
      if (request !== undefined && next.request !== request) {
        this.strays.push(text(next))
        continue
      }
      if (next.type === ERROR) return null
      if (next.type !== type) throw new Error(`invalid frame: ${text(next)}`)
      return next
    }
  }
}

export type Stage = 'given' | 'accepted' | 'read' | 'replying' | 'replied' | 'ended'
export const STAGES: readonly Stage[] = ['given', 'accepted', 'read', 'replying', 'replied', 'ended']
