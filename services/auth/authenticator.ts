import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { RegentError } from '../errors.ts'
import { callerOf } from './claims.ts'
import type { ClaimNames, TokenCaller } from './claims.ts'
import type { TokenKeys } from './token-keys.ts'
import { verifyToken } from './verify-token.ts'
import type { TokenRules } from './verify-token.ts'

export interface AuthenticatorOptions {
  keys: TokenKeys
  rules: TokenRules
  names: ClaimNames
  /** Wall clock, in milliseconds. */
  now?: () => number
}

interface Verified {
  caller: TokenCaller
  /** When the token is over, in milliseconds of the wall clock. */
  endsAt: number
  /** The fetched keys it was verified with; null: with the secret, which does not change. */
  version: number | null
}

// Real ones have a few hundred characters to a few thousand. Looked at before anything is computed.
const LONGEST_TOKEN = 16_384
const MOST_REMEMBERED = 10_000
// What is made of a token, such as patterns, takes a few times its length.
const MOST_REMEMBERED_CHARACTERS = 10_000_000
const SCHEME = 'bearer '

/** Who it is that shows a token. What was verified is remembered, by a hash of the token, until the token is over or keys change. */
export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #now: () => number
  readonly #remembered = new LRUCache<string, Verified>({ max: MOST_REMEMBERED, maxSize: MOST_REMEMBERED_CHARACTERS })

  constructor (options: AuthenticatorOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /**
   * The caller of a request; a promise of it when the token has to be verified.
   * @param authorization its headers of that name. `Bearer ` may be missing (http-api.md 1.11); where there are several, what
   *   stands in front of us may have looked at another one.
   * @throws RegentError RGT_AUTH_REQUIRED, RGT_TOKEN_INVALID, RGT_TOKEN_EXPIRED, RGT_KEYS_UNAVAILABLE; also as a rejection
   */
  identify (authorization: readonly string[]): TokenCaller | Promise<TokenCaller> {
    const [header = ''] = authorization
    if (authorization.length > 1) throw new RegentError('RGT_TOKEN_INVALID', { detail: 'There is more than one Authorization header' })
    if (header === '') throw new RegentError('RGT_AUTH_REQUIRED')
    const token = header.slice(0, SCHEME.length).toLowerCase() === SCHEME ? header.slice(SCHEME.length).trim() : header
    if (token.length > LONGEST_TOKEN) throw new RegentError('RGT_TOKEN_INVALID', { detail: `Token is longer than ${LONGEST_TOKEN} characters` })
    const key = hash('sha256', token, 'base64')
    const known = this.#remembered.get(key)
    const { keys } = this.#options
    // Asked whenever there are fetched keys: it has old ones fetched again.
    const areUsable = keys.isUsable
    if (known !== undefined && (known.version === null || (areUsable && known.version === keys.version))) {
      if (this.#now() < known.endsAt) return known.caller
      this.#remembered.delete(key)
    }
    return this.#verify(token, key)
  }

  async #verify (token: string, key: string): Promise<TokenCaller> {
    const { keys, rules, names } = this.#options
    const { claims, version } = await verifyToken(token, keys, rules, this.#now())
    const caller = callerOf(claims, names)
    const endsAt = claims.exp === undefined ? Infinity : (claims.exp + rules.clockSkewSeconds) * 1000
    this.#remembered.set(key, { caller, endsAt, version }, { size: token.length })
    return caller
  }
}
