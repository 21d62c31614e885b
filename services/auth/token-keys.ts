import type { KeyObject } from 'node:crypto'
import type { CryptoKey, JWSHeaderParameters } from 'jose'
import type { KeySet } from './key-set.ts'
import { KEY_PAIR_ALGORITHMS, readPublicKey } from './public-key.ts'

export interface TokenKeysOptions {
  /** HS256, RS256, ES256, EdDSA or auto. */
  algorithm: string
  secret: string | undefined
  /** PEM; wins over the key set. */
  publicKey: string | undefined
  keySet: KeySet | null
}

export interface TokenKey {
  key: CryptoKey | KeyObject | Uint8Array
  /** Of the fetched keys it is one of; null: it was given, and does not change. */
  version: number | null
}

/**
 * The keys that tokens may be signed with. Which one a token is verified with is said by the algorithm it names, and
 * each key goes with the algorithms of its own kind alone: a public key is never taken for a secret.
 */
export class TokenKeys {
  /** What a token may name as its algorithm. */
  readonly algorithms: readonly string[]
  readonly #secret: Uint8Array | null
  readonly #publicKey: KeyObject | null
  readonly #keySet: KeySet | null

  constructor ({ algorithm, secret, publicKey, keySet }: TokenKeysOptions) {
    const pair = publicKey === undefined ? null : readPublicKey(publicKey)
    this.#secret = secret === undefined ? null : new TextEncoder().encode(secret)
    this.#publicKey = pair?.key ?? null
    this.#keySet = pair === null && algorithm !== 'HS256' ? keySet : null
    const possible = [
      ...this.#secret === null ? [] : ['HS256'],
      ...pair === null ? this.#keySet === null ? [] : KEY_PAIR_ALGORITHMS : [pair.algorithm]
    ]
    this.algorithms = possible.filter(known => algorithm === 'auto' || known === algorithm)
  }

  /** Another number when keys have changed. */
  get version (): number {
    return this.#keySet?.version ?? 0
  }

  /** Whether what was verified before may still be relied on. */
  get isUsable (): boolean {
    return this.#keySet?.isUsable ?? true
  }

  /** The key for a token whose algorithm is one of ours. Throws what KeySet.keyFor throws. */
  async keyFor (header: JWSHeaderParameters): Promise<TokenKey> {
    const own = header.alg === 'HS256' ? this.#secret : this.#publicKey
    if (own !== null) return { key: own, version: null }
    if (header.alg === 'HS256' || this.#keySet === null) throw new Error('an algorithm without a key')
    return await this.#keySet.keyFor(header)
  }

  close (): void {
    this.#keySet?.close()
  }
}
