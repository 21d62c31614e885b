import { createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** What tokens are signed with by the owner of a private key. */
export type KeyPairAlgorithm = 'RS256' | 'ES256' | 'EdDSA'

export const KEY_PAIR_ALGORITHMS: readonly KeyPairAlgorithm[] = ['RS256', 'ES256', 'EdDSA']

// RFC 7518, section 3.3.
const LEAST_RSA_BITS = 2048

/**
 * A public key or certificate as PEM text, and the one algorithm it is used with: a key that fits several could be
 * talked into the wrong one. Variables that cannot hold line breaks may have `\n` for them.
 * @throws Error that says what is wrong, without the text
 */
export function readPublicKey (pem: string): { key: KeyObject, algorithm: KeyPairAlgorithm } {
  if (pem.includes('PRIVATE KEY')) throw new Error('is a private key; only its public half belongs here')
  let key: KeyObject
  try {
    key = createPublicKey(pem.replaceAll('\\n', '\n'))
  } catch {
    // The parser's error may quote what it was given.
    throw new Error('must be a public key or certificate in PEM format')
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= LEAST_RSA_BITS) return { key, algorithm: 'RS256' }
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return { key, algorithm: 'ES256' }
  if (key.asymmetricKeyType === 'ed25519') return { key, algorithm: 'EdDSA' }
  throw new Error(`must be an RSA key of at least ${LEAST_RSA_BITS} bits, a P-256 key or an Ed25519 key`)
}

/** What keeps a text from being such a key; null when it is one. */
export function publicKeyFault (pem: string): string | null {
  try {
    readPublicKey(pem)
    return null
  } catch (error) {
    return (error as Error).message
  }
}
