import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { RegentError } from '../../services/errors.ts'
import { readEnvironment, readRegentOptions } from '../../services/options.ts'
import { SECRET, pairs } from './support.ts'

const databaseUrl = 'postgres://localhost/x'

/** The faults that reading reports, one a line. */
function faults (read: () => unknown): string[] {
  try {
    read()
  } catch (error) {
    if (error instanceof RegentError && error.code === 'RGT_OPTIONS_INVALID') return error.message.split('\n').slice(1).map(line => line.trim())
    throw error
  }
  return []
}

const environment = (env: Record<string, string>): string[] => faults(() => readEnvironment({ JWT_ENABLED: 'true', ...env }))
const options = (given: Record<string, unknown>): string[] => faults(() => readRegentOptions({ databaseUrl, jwtEnabled: true, ...given }))

t.test('authentication is off unless it is asked for, and then nothing else is looked at', async t => {
  t.match(readEnvironment({}).regent, { jwtEnabled: false, jwtAlgorithm: 'HS256', jwtClockSkewSeconds: 30, jwtSkipPaths: '/health,/metrics/prometheus,/metrics,/', jwtJwksRefreshSeconds: 3600, jwtJwksTimeoutMs: 5000, jwtRoleClaim: 'role', jwtRolesClaim: 'roles', jwtRoleReadWrite: 'read-write' })
  t.same(faults(() => readEnvironment({ JWT_ENABLED: 'false', JWT_ALGORITHM: 'RS256', JWT_SECRET: 'short' })), [])
  t.same(faults(() => readEnvironment({ JWT_ENABLED: '1' })), ['JWT_ENABLED: must be true or false'])
  t.same(readEnvironment({ JWT_SECRET: SECRET, JWT_ISSUER: 'x' }).withoutEffect, ['JWT_SECRET', 'JWT_ISSUER'], 'whoever sets these expects it to be on')
  t.same(readEnvironment({ JWT_ENABLED: 'true', JWT_SECRET: SECRET }).withoutEffect, [])
})

t.test('an algorithm without its key, and a key for another one, are named', async t => {
  const { pem } = pairs.EdDSA()
  t.same(environment({}), ['JWT_SECRET: is required for HS256'])
  t.same(environment({ JWT_PUBLIC_KEY: pem, JWT_JWKS_URL: 'http://x/' }), ['JWT_SECRET: is required for HS256'])
  t.same(environment({ JWT_ALGORITHM: 'auto' }), ['JWT_SECRET: it, JWT_PUBLIC_KEY or JWT_JWKS_URL is required'])
  for (const algorithm of ['RS256', 'ES256']) {
    t.same(environment({ JWT_ALGORITHM: algorithm, JWT_SECRET: SECRET }), [`JWT_PUBLIC_KEY: it or JWT_JWKS_URL is required for ${algorithm}`])
    t.same(environment({ JWT_ALGORITHM: algorithm, JWT_PUBLIC_KEY: pem }), [`JWT_PUBLIC_KEY: is not a key for ${algorithm}`])
  }
  t.match(environment({ JWT_ALGORITHM: 'none' }), [/^JWT_ALGORITHM: must be one of HS256, RS256, ES256, EdDSA, auto/], 'and nothing about its key')
  for (const good of [{ JWT_SECRET: SECRET }, { JWT_ALGORITHM: 'EdDSA', JWT_PUBLIC_KEY: pem }, { JWT_ALGORITHM: 'RS256', JWT_JWKS_URL: 'https://x/keys' }, { JWT_ALGORITHM: 'auto', JWT_PUBLIC_KEY: pem }]) {
    t.same(environment(good), [])
  }
  t.same(options({ jwtAlgorithm: 'EdDSA' }), ['jwtPublicKey: it or jwtJwksUrl is required for EdDSA'], 'by the names of the options where those were given')
})

t.test('keys that are too weak, or of another kind than can be used, are refused and never shown', async t => {
  const short = 'x'.repeat(31)
  t.same(environment({ JWT_SECRET: short }), ['JWT_SECRET: must have at least 32 bytes'])
  t.same(environment({ JWT_SECRET: 'ä'.repeat(16) }), [])
  const { privateKey } = pairs.ES256()
  const wrong = {
    'a weak RSA key': [pairs.RS256(1024).pem, /at least 2048 bits/],
    'another curve': [pairs.ES256('P-384').pem, /a P-256 key or an Ed25519 key/],
    'another use': [generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'pem' }).toString(), /a P-256 key or an Ed25519 key/],
    'a private key': [privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), /is a private key/],
    'an encrypted private key': [privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString(), /is a private key/],
    'no key': ['-----BEGIN PUBLIC KEY-----\nTWFueSBoYW5kcw==\n-----END PUBLIC KEY-----', /must be a public key or certificate in PEM format/],
    'a word': ['secret-word', /PEM format/]
  } as const
  for (const [what, [pem, fault]] of Object.entries(wrong)) {
    const [found = '', ...others] = environment({ JWT_ALGORITHM: 'auto', JWT_PUBLIC_KEY: pem })
    t.match(found, fault, what)
    t.match(found, /^JWT_PUBLIC_KEY: /)
    t.same(others, [])
    t.notOk(found.includes(pem.trim().split('\n')[1] ?? pem))
  }
  t.ok(createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })), 'it was one')
})

t.test('every other option that cannot be is named', async t => {
  t.same(environment({
    JWT_SECRET: SECRET,
    JWT_JWKS_URL: 'ftp://user:se%63ret@x/',
    JWT_CLOCK_SKEW: '-1',
    JWT_SKIP_PATHS: '/health,metrics',
    JWT_JWKS_REFRESH_INTERVAL: '0',
    JWT_JWKS_TIMEOUT_MS: '5s',
    JWT_JWKS_MAX_AGE: '0',
    JWT_ROLES_CLAIM: ' ',
    JWT_ROLE_ADMIN: '\t',
    JWT_QUEUES_CLAIM: ' '
  }).map(line => line.slice(0, line.indexOf(':'))).sort(), ['JWT_CLOCK_SKEW', 'JWT_JWKS_MAX_AGE', 'JWT_JWKS_REFRESH_INTERVAL', 'JWT_JWKS_TIMEOUT_MS', 'JWT_JWKS_URL', 'JWT_QUEUES_CLAIM', 'JWT_ROLES_CLAIM', 'JWT_ROLE_ADMIN', 'JWT_SKIP_PATHS'])
  t.same(environment({ JWT_SECRET: SECRET, JWT_JWKS_MAX_AGE: '600' }), ['JWT_JWKS_MAX_AGE: must not be below JWT_JWKS_REFRESH_INTERVAL'])
  t.same(environment({ JWT_SECRET: SECRET, JWT_JWKS_URL: 'https://user:pass@x/' }), ['JWT_JWKS_URL: must not hold a user or password'])
})

t.test('a port without authentication beside routes with it has to be out of reach, or wanted', async t => {
  const fault = /^CHANNELS_HOST: must be a loopback address .*CHANNELS_WITHOUT_TOKENS/
  for (const host of ['0.0.0.0', '::', '192.168.0.1', 'example.com', 'localhost.example.com', '127.example.com', '::ffff:10.0.0.1']) {
    t.match(environment({ JWT_SECRET: SECRET, CHANNELS_PORT: '6633', CHANNELS_HOST: host }), [fault], host)
    t.same(environment({ JWT_SECRET: SECRET, CHANNELS_PORT: '6633', CHANNELS_HOST: host, CHANNELS_WITHOUT_TOKENS: 'true' }), [], host)
    t.same(environment({ JWT_SECRET: SECRET, CHANNELS_HOST: host }), [], 'no port')
    t.same(environment({ JWT_ENABLED: 'false', CHANNELS_PORT: '6633', CHANNELS_HOST: host }), [], 'no authentication')
    t.match(options({ jwtEnabled: false, authorize: () => null, channelsPort: 0, channelsHost: host }), [/^channelsHost: must be a loopback address .*channelsWithoutTokens/], 'an application that authorizes')
  }
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) t.same(environment({ JWT_SECRET: SECRET, CHANNELS_PORT: '6633', CHANNELS_HOST: host }), [], host)
  t.same(environment({ JWT_SECRET: SECRET, CHANNELS_PORT: '6633' }), [])
})

t.test('an application authorizes with a function, and either that or tokens decide', async t => {
  t.same(options({ jwtEnabled: false, authorize: true }), ['authorize: must be a function'])
  t.same(options({ jwtSecret: SECRET, authorize: () => null }), ['authorize: cannot be combined with jwtEnabled'])
  t.same(options({ jwtEnabled: false, authorize: () => null }), [])
  t.same(options({ jwtEnabled: false, authorize: undefined }), [])
})
