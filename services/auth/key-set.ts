import { createLocalJWKSet, errors } from 'jose'
import type { CryptoKey, JSONWebKeySet, JWSHeaderParameters } from 'jose'
import { RegentError } from '../errors.ts'

export interface KeySetOptions {
  url: string
  /** Age at which the keys are fetched again, in the background; age up to which they are used while that fails. */
  refreshMs: number
  maxAgeMs: number
  /** Longest fetch. */
  timeoutMs: number
  /** Monotonic clock, in milliseconds. */
  now?: () => number
  log: { warn (fields: object, message: string): void, info (fields: object, message: string): void }
}

export interface FetchedKey {
  key: CryptoKey
  /** Of the keys among which it was found. */
  version: number
}

// Between two fetches for keys that are not known: anybody may ask for such. The shorter one after a fetch that failed.
const PAUSE_MS = 10_000
const PAUSE_AFTER_FAILURE_MS = 1000
// Sets of a hundred keys with their certificates stay below.
const MOST_BYTES = 1_048_576

/**
 * The public keys of an issuer, fetched from its URL (RFC 7517). Keys are fetched again when they are old, and once when a
 * token names one that is not known: it may be new. While that fails, the ones that are known go on being used, for a while.
 */
export class KeySet {
  readonly #options: KeySetOptions
  readonly #now: () => number
  readonly #closing = new AbortController()
  #find: ReturnType<typeof createLocalJWKSet> | null = null
  #text = ''
  #fetchedAt = -Infinity
  #triedAt = -Infinity
  #hasFailed = false
  #fetching: Promise<void> | null = null
  #version = 0

  constructor (options: KeySetOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** Another number when the keys have changed: what was verified before has to be verified again. */
  get version (): number {
    return this.#version
  }

  /** Whether there are keys that may be used; has them fetched again when they are old. */
  get isUsable (): boolean {
    const age = this.#now() - this.#fetchedAt
    if (age >= this.#options.refreshMs) void this.#fetchUnlessTried()
    return this.#find !== null && age <= this.#options.maxAgeMs
  }

  /**
   * The key that a token says it was signed with.
   * @throws RegentError RGT_KEYS_UNAVAILABLE when that cannot be known now, RGT_TOKEN_INVALID when there is no such key
   */
  async keyFor (header: JWSHeaderParameters): Promise<FetchedKey> {
    if (!this.isUsable) await this.#fetchUnlessTried()
    if (!this.isUsable) throw new RegentError('RGT_KEYS_UNAVAILABLE')
    const known = await this.#known(header)
    if (known !== null) return known
    await this.#fetchUnlessTried()
    const fetched = await this.#known(header)
    if (fetched !== null) return fetched
    if (this.#hasFailed) throw new RegentError('RGT_KEYS_UNAVAILABLE')
    throw new RegentError('RGT_TOKEN_INVALID', { detail: `Unknown key ID: ${String(header.kid).slice(0, 100)}` })
  }

  /** Break off a fetch, and start no further one. */
  close (): void {
    this.#closing.abort()
  }

  async #known (header: JWSHeaderParameters): Promise<FetchedKey | null> {
    // Of now: by the time the key is there, it may have been withdrawn.
    const version = this.#version
    try {
      const key = await this.#find?.(header)
      return key === undefined ? null : { key, version }
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null
      throw error
    }
  }

  /** One fetch for all who want one, and none so soon after another. Never rejects. */
  async #fetchUnlessTried (): Promise<void> {
    if (this.#fetching === null) {
      if (this.#now() - this.#triedAt < (this.#hasFailed ? PAUSE_AFTER_FAILURE_MS : PAUSE_MS) || this.#closing.signal.aborted) return
      this.#triedAt = this.#now()
      this.#fetching = this.#fetch().finally(() => { this.#fetching = null })
    }
    await this.#fetching
  }

  async #fetch (): Promise<void> {
    const { url, timeoutMs, log } = this.#options
    // Without what may be a secret.
    const { origin, pathname } = new URL(url)
    try {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)])
      const response = await fetch(url, { headers: { accept: 'application/jwk-set+json, application/json' }, redirect: 'error', signal })
      if (response.status !== 200) {
        await response.body?.cancel()
        throw new Error(`status ${response.status}`)
      }
      this.#take(await textOf(response))
      if (this.#hasFailed) log.info({ url: origin + pathname }, 'the keys of tokens have been fetched again')
      this.#hasFailed = false
    } catch (error) {
      if (!this.#hasFailed && !this.#closing.signal.aborted) log.warn({ err: error, url: origin + pathname }, 'the keys of tokens cannot be fetched; known ones are used for a while')
      this.#hasFailed = true
    }
  }

  #take (text: string): void {
    if (text !== this.#text || this.#find === null) {
      this.#find = createLocalJWKSet(JSON.parse(text) as JSONWebKeySet) // it checks the form itself
      this.#text = text
      this.#version++
    }
    this.#fetchedAt = this.#now()
  }
}

/** The body of an answer, which may be of any size. */
async function textOf (response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
