import { setTimeout as delay } from 'node:timers/promises'
import { request } from '../../support.ts'
import type { Answer } from '../../support.ts'
import type { Call, Journal, Kind } from './journal.ts'
import type { Servers } from './servers.ts'

// Far above every deadline of the service: what takes longer hangs.
const GIVE_UP_MS = 60_000
const PAUSE_MS = 50

/** Sends requests as clients do, and books how each of them ended. */
export class Caller {
  readonly #servers: Servers
  readonly #journal: Journal
  #isStopped = false

  constructor (servers: Servers, journal: Journal) {
    this.#servers = servers
    this.#journal = journal
  }

  /** Wait no longer for servers that cannot be reached. */
  stop (): void {
    this.#isStopped = true
  }

  /** Sends a request once the server can be reached; `answer` is null when there was none. */
  async call (kind: Kind, server: number, path: string, body?: unknown): Promise<{ call: Call, answer: Answer | null }> {
    let url = this.#servers.url(server)
    while (url === null && !this.#isStopped) {
      await delay(PAUSE_MS)
      url = this.#servers.url(server)
    }
    const call = this.#journal.begin(kind, server)
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    try {
      const answer = await request(`${url}${path}`, { ...init, signal: AbortSignal.timeout(GIVE_UP_MS) })
      this.#journal.end(call, answer.status < 300 ? String(answer.status) : `${answer.status} ${answer.json?.code ?? answer.text.slice(0, 100)}`)
      if (answer.status === 503 && !(answer.json?.retryable === true && /^\d+$/.test(answer.headers.get('retry-after') ?? ''))) {
        this.#journal.oddities.push(`${kind}: a 503 that does not say when to try again: ${answer.text}`)
      }
      return { call, answer }
    } catch (error) {
      this.#journal.end(call, error instanceof Error && error.name === 'TimeoutError' ? 'silent' : 'closed')
      return { call, answer: null }
    }
  }
}
