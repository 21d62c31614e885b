import { decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { JWTPayload } from 'jose'
import { RegentError } from '../errors.ts'
import type { TokenKeys } from './token-keys.ts'

export interface TokenRules {
  /** HS256, RS256, ES256, EdDSA or auto. */
  algorithm: string
  issuer: string | undefined
  audience: string | undefined
  clockSkewSeconds: number
}

// Three parts in base64url. Encrypted tokens have five; the signature of one without an algorithm is empty.
const FORM = /^[\w-]+\.[\w-]+\.[\w-]*$/
const CLAIM_TEXTS: Readonly<Record<string, string>> = {
  iss: 'Invalid token issuer',
  aud: 'Invalid token audience',
  nbf: 'Token is not valid yet',
  iat: 'Token is not valid yet'
}

/**
 * The claims of a token (RFC 7519) that is signed with one of the keys and valid now, and the version of these keys (see TokenKey).
 * @param nowMs wall clock
 * @throws RegentError RGT_TOKEN_INVALID, RGT_TOKEN_EXPIRED, RGT_KEYS_UNAVAILABLE. Without a cause: those of the library
 *   hold the claims, and errors are logged.
 */
export async function verifyToken (token: string, keys: TokenKeys, rules: TokenRules, nowMs: number): Promise<{ claims: JWTPayload, version: number | null }> {
  if (!FORM.test(token)) throw invalid('Token decode error: it is not a signed JWT')
  try {
    checkAlgorithm(decodeProtectedHeader(token).alg, keys, rules)
    let version: number | null = null
    const { payload } = await jwtVerify(token, async header => {
      const found = await keys.keyFor(header)
      version = found.version
      return found.key
    }, {
      algorithms: [...keys.algorithms],
      clockTolerance: rules.clockSkewSeconds,
      currentDate: new Date(nowMs),
      ...(rules.issuer === undefined ? {} : { issuer: rules.issuer }),
      ...(rules.audience === undefined ? {} : { audience: rules.audience })
    })
    // The library looks at it only where tokens have a longest age.
    if (payload.iat !== undefined && payload.iat > nowMs / 1000 + rules.clockSkewSeconds) throw invalid('Token is not valid yet')
    return { claims: payload, version }
  } catch (error) {
    throw error instanceof RegentError ? error : refusal(error)
  }
}

function checkAlgorithm (named: unknown, keys: TokenKeys, { algorithm }: TokenRules): void {
  if (typeof named === 'string' && keys.algorithms.includes(named)) return
  const shown = String(named).slice(0, 20)
  throw invalid(algorithm === 'auto' ? `Unsupported algorithm: ${shown}` : `Token uses ${shown}, expected ${algorithm}`)
}

/** What a fault of a token is called towards whoever sent it: in the compatible server's words where it has some. */
function refusal (error: unknown): RegentError {
  if (error instanceof errors.JWTExpired) return new RegentError('RGT_TOKEN_EXPIRED')
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error
    return invalid(reason === 'invalid' ? `Invalid claim: ${claim}` : CLAIM_TEXTS[claim] ?? `Invalid claim: ${claim}`)
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return invalid('Token has an invalid signature')
  if (error instanceof errors.JWKSMultipleMatchingKeys) return invalid('Token names no key, and several fit')
  if (error instanceof errors.JOSENotSupported) return invalid('Token asks for something that is not supported')
  // Whatever else is wrong with it, or with the key that it names.
  return invalid('Token decode error: it cannot be read or verified')
}

function invalid (detail: string): RegentError {
  return new RegentError('RGT_TOKEN_INVALID', { detail })
}
