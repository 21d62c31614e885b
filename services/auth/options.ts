import { isIPv4 } from 'node:net'
import type { Rule } from '../option-rule.ts'
import { publicKeyFault, readPublicKey } from './public-key.ts'

/** Options about who may do what (http-api.md 1.11). */
export interface AuthOptions {
  /** Every route but the public ones needs a token. */
  jwtEnabled: boolean
  /** HS256, RS256, ES256, EdDSA; or auto: what there is a key for. */
  jwtAlgorithm: string
  /** Key of HS256. */
  jwtSecret: string | undefined
  /** Public key as PEM text; wins over the key set. */
  jwtPublicKey: string | undefined
  /** Where the public keys are fetched (JSON Web Key Set). */
  jwtJwksUrl: string | undefined
  jwtIssuer: string | undefined
  jwtAudience: string | undefined
  jwtClockSkewSeconds: number
  /** Paths without the prefix, separated by commas, that need no token; an entry that ends in / stands for all below it. */
  jwtSkipPaths: string
  /** Age at which fetched keys are fetched again; longest fetch; age up to which they are used while that fails. */
  jwtJwksRefreshSeconds: number
  jwtJwksTimeoutMs: number
  jwtJwksMaxAgeSeconds: number
  /** Claim with one role, claim with an array of them. */
  jwtRoleClaim: string
  jwtRolesClaim: string
  /** What the roles are called in tokens. */
  jwtRoleAdmin: string
  jwtRoleReadWrite: string
  jwtRoleReadOnly: string
  jwtRoleProduceOnly: string
  jwtRoleConsumeOnly: string
  /** Claim with the patterns of the queues that a token is limited to; undefined: none is. */
  jwtQueuesClaim: string | undefined
  /** Where callers are authenticated, the channels' TCP port, which has no tokens, may be reached from elsewhere all the same. */
  channelsWithoutTokens: boolean
}

const name = { pattern: /\S/, hint: 'must not be blank' }

export const AUTH_OPTIONS: { readonly [K in keyof AuthOptions]: Rule } = {
  jwtEnabled: { env: 'JWT_ENABLED', default: false, doc: 'Every route but the public ones needs a token; see docs/authentication.md' },
  jwtAlgorithm: { env: 'JWT_ALGORITHM', default: 'HS256', oneOf: ['HS256', 'RS256', 'ES256', 'EdDSA', 'auto'], doc: 'How tokens are signed; auto: any way there is a key for' },
  jwtSecret: { env: 'JWT_SECRET', default: undefined, doc: 'Key of HS256, as it is: at least 32 bytes' },
  jwtPublicKey: { env: 'JWT_PUBLIC_KEY', default: undefined, check: publicKeyFault, doc: 'Public key of the others as PEM; wins over JWT_JWKS_URL' },
  jwtJwksUrl: { env: 'JWT_JWKS_URL', default: undefined, check: urlFault, doc: 'Where public keys are fetched, as a JSON Web Key Set' },
  jwtIssuer: { env: 'JWT_ISSUER', default: undefined, doc: 'Issuer (iss) that tokens must name; unset: any' },
  jwtAudience: { env: 'JWT_AUDIENCE', default: undefined, doc: 'Audience (aud) that tokens must name; unset: any' },
  jwtClockSkewSeconds: { env: 'JWT_CLOCK_SKEW', default: 30, min: 0, max: 3600, unit: 's', doc: 'By how much the clocks of issuers may differ' },
  jwtSkipPaths: { env: 'JWT_SKIP_PATHS', default: '/health,/metrics/prometheus,/metrics,/', check: pathsFault, doc: 'Paths that need no token; one that ends in / stands for all below it' },
  jwtJwksRefreshSeconds: { env: 'JWT_JWKS_REFRESH_INTERVAL', default: 3600, min: 10, max: 604_800, unit: 's', doc: 'Age at which fetched keys are fetched again' },
  jwtJwksTimeoutMs: { env: 'JWT_JWKS_TIMEOUT_MS', default: 5000, min: 100, max: 60_000, unit: 'ms', doc: 'Longest time to fetch keys' },
  jwtJwksMaxAgeSeconds: { env: 'JWT_JWKS_MAX_AGE', default: 86_400, min: 10, max: 2_592_000, unit: 's', doc: 'Age up to which keys are used while they cannot be fetched again' },
  jwtRoleClaim: { env: 'JWT_ROLES_CLAIM', default: 'role', ...name, doc: 'Claim with a role' },
  jwtRolesClaim: { env: 'JWT_ROLES_ARRAY_CLAIM', default: 'roles', ...name, doc: 'Claim with an array of roles' },
  jwtRoleAdmin: { env: 'JWT_ROLE_ADMIN', default: 'admin', ...name, doc: 'Role that may do everything' },
  jwtRoleReadWrite: { env: 'JWT_ROLE_READ_WRITE', default: 'read-write', ...name, doc: 'Role that may push, pop, configure and read' },
  jwtRoleReadOnly: { env: 'JWT_ROLE_READ_ONLY', default: 'read-only', ...name, doc: 'Role that may read' },
  jwtRoleProduceOnly: { env: 'JWT_ROLE_PRODUCE_ONLY', default: 'produce-only', ...name, doc: 'Role that may push, and nothing else' },
  jwtRoleConsumeOnly: { env: 'JWT_ROLE_CONSUME_ONLY', default: 'consume-only', ...name, doc: 'Role that may pop and acknowledge, and nothing else' },
  jwtQueuesClaim: { env: 'JWT_QUEUES_CLAIM', default: undefined, ...name, doc: 'Claim with patterns of the queues a token is limited to; unset: none is' },
  channelsWithoutTokens: { env: 'CHANNELS_WITHOUT_TOKENS', default: false, doc: 'true: with authentication on, CHANNELS_PORT, which has none, may still listen beyond loopback' }
}

// RFC 7518, section 3.2: as long as the hash. A shorter one can be found out from any token.
const LEAST_SECRET_BYTES = 32

/**
 * What about the options does not go together, once each of them is valid by itself.
 * @param given all options, also those of other services
 * @param authorize whether the embedding application authorizes requests itself
 * @param label how an option is called towards whoever gave it
 */
export function authFaults (given: Readonly<Record<string, unknown>>, authorize: boolean, label: (name: string) => string): string[] {
  const faults: string[] = []
  if (given.jwtEnabled === true) faults.push(...keyFaults(given, label))
  if (given.jwtEnabled === true && authorize) faults.push(`authorize: cannot be combined with ${label('jwtEnabled')}`)
  const { channelsPort, channelsHost, channelsWithoutTokens } = given
  if ((given.jwtEnabled === true || authorize) && channelsPort !== undefined && channelsWithoutTokens !== true && !isLoopback(String(channelsHost))) {
    faults.push(`${label('channelsHost')}: must be a loopback address such as 127.0.0.1 where authentication is on, as the channels' TCP port ` +
      `has none (${label('channelsWithoutTokens')} says that whoever reaches it may use it)`)
  }
  return faults
}

function keyFaults ({ jwtAlgorithm, jwtSecret, jwtPublicKey, jwtJwksUrl, jwtJwksMaxAgeSeconds, jwtJwksRefreshSeconds }: Readonly<Record<string, unknown>>, label: (name: string) => string): string[] {
  const faults: string[] = []
  const takesSecret = jwtAlgorithm === 'HS256' || jwtAlgorithm === 'auto'
  if (jwtAlgorithm === 'HS256' && jwtSecret === undefined) faults.push(`${label('jwtSecret')}: is required for HS256`)
  if (takesSecret && typeof jwtSecret === 'string' && Buffer.byteLength(jwtSecret) < LEAST_SECRET_BYTES) {
    faults.push(`${label('jwtSecret')}: must have at least ${LEAST_SECRET_BYTES} bytes`)
  }
  if (jwtAlgorithm === 'auto' && jwtSecret === undefined && jwtPublicKey === undefined && jwtJwksUrl === undefined) {
    faults.push(`${label('jwtSecret')}: it, ${label('jwtPublicKey')} or ${label('jwtJwksUrl')} is required`)
  }
  if (!takesSecret && jwtPublicKey === undefined && jwtJwksUrl === undefined) {
    faults.push(`${label('jwtPublicKey')}: it or ${label('jwtJwksUrl')} is required for ${String(jwtAlgorithm)}`)
  }
  if (!takesSecret && typeof jwtPublicKey === 'string' && publicKeyFault(jwtPublicKey) === null && readPublicKey(jwtPublicKey).algorithm !== jwtAlgorithm) {
    faults.push(`${label('jwtPublicKey')}: is not a key for ${String(jwtAlgorithm)}`)
  }
  if (Number(jwtJwksMaxAgeSeconds) < Number(jwtJwksRefreshSeconds)) {
    // Keys would be too old before they are fetched again.
    faults.push(`${label('jwtJwksMaxAgeSeconds')}: must not be below ${label('jwtJwksRefreshSeconds')}`)
  }
  return faults
}

function urlFault (text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null
  // Never with the value: it may hold a password.
  if (url === null || !/^https?:$/.test(url.protocol)) return 'must be a URL that begins with http:// or https://'
  return url.username === '' && url.password === '' ? null : 'must not hold a user or password'
}

function pathsFault (text: string): string | null {
  return text.split(',').every(path => path.trim().startsWith('/')) ? null : 'must be paths that begin with /, separated by commas'
}

function isLoopback (host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}
