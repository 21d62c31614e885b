import t from 'tap'
import type { Test } from 'tap'
import { KeySet } from '../../services/auth/key-set.ts'
import { TokenKeys } from '../../services/auth/token-keys.ts'
import { until } from '../support.ts'
import { SECRET, authenticatorOf, pairs, sign, startKeyServer, startProtected } from './support.ts'
import type { KeyServer } from './support.ts'

const LIST = '/api/v1/resources/namespaces'
const claims = { role: 'admin' }
const SECOND = 1000

/** A key set on a clock that is moved by hand. */
function keySet (t: Test, server: KeyServer, options: { timeoutMs?: number } = {}): { keys: KeySet, clock: { ms: number }, warnings: string[] } {
  const clock = { ms: 1_000_000 }
  const warnings: string[] = []
  const keys = new KeySet({
    url: server.url,
    refreshMs: 3600 * SECOND,
    maxAgeMs: 86_400 * SECOND,
    timeoutMs: 5000,
    now: () => clock.ms,
    log: { warn: (_fields, message) => { warnings.push(message) }, info: (_fields, message) => { warnings.push(message) } },
    ...options
  })
  t.teardown(() => { keys.close() })
  return { keys, clock, warnings }
}

const es = (kid?: string): { alg: string, kid?: string } => ({ alg: 'ES256', ...(kid === undefined ? {} : { kid }) })

t.test('tokens are verified with the keys that an issuer publishes, of every kind', async t => {
  const server = await startKeyServer(t)
  const own = { rsa: pairs.RS256(), ec: pairs.ES256(), ed: pairs.EdDSA() }
  await server.serve(own)
  const service = await startProtected(t, { jwtSecret: undefined, jwtAlgorithm: 'auto', jwtJwksUrl: server.url })
  const status = async (alg: string, kid: keyof typeof own | undefined, key = own[kid ?? 'rsa'].privateKey): Promise<number> =>
    (await service.as(await sign(claims, { alg, key, ...(kid === undefined ? {} : { kid }) }), 'GET', LIST)).status
  t.equal(await status('RS256', 'rsa'), 200)
  t.equal(await status('ES256', 'ec'), 200)
  t.equal(await status('EdDSA', 'ed'), 200)
  t.equal(await status('RS256', undefined), 200, 'the only one that fits is meant where none is named')
  t.equal(await status('RS256', 'ec', own.rsa.privateKey), 401, 'a key of another kind')
  t.equal(await status('RS256', 'rsa', pairs.RS256().privateKey), 401)
  t.match(await service.as(await sign(claims), 'GET', LIST), { status: 401, json: { error: 'Unsupported algorithm: HS256' } })
  t.equal(server.requests(), 1, 'fetched once')
})

t.test('a new key is fetched when a token names it, and nobody can ask for more than one fetch in a while', async t => {
  const server = await startKeyServer(t)
  const { keys, clock } = keySet(t, server)
  await server.serve({ old: pairs.ES256() })
  await keys.keyFor(es('old'))
  t.equal(server.requests(), 1)

  await server.serve({ old: pairs.ES256(), new: pairs.ES256() })
  await t.rejects(keys.keyFor(es('new')), { code: 'RGT_TOKEN_INVALID', message: 'Unknown key ID: new' }, 'too soon after the first')
  t.equal(server.requests(), 1)
  clock.ms += 10 * SECOND
  await Promise.all(Array.from({ length: 20 }, async () => { t.ok(await keys.keyFor(es('new'))) }))
  t.equal(server.requests(), 2, 'one for all who wait')

  for (let i = 0; i < 100; i++) {
    await t.rejects(keys.keyFor(es(`guessed-${i}`)), { code: 'RGT_TOKEN_INVALID' })
    await t.rejects(keys.keyFor(es(`../${'x'.repeat(5000)}`)), { message: /^Unknown key ID: .{100}$/ })
    clock.ms += SECOND / 2
  }
  t.equal(server.requests(), 2 + 4, 'fifty seconds of guesses')
  t.ok(await keys.keyFor(es('old')))
})

t.test('a key that the issuer takes back is refused, also for tokens that were seen before', async t => {
  const server = await startKeyServer(t)
  const [lost, next] = [pairs.ES256(), pairs.ES256()]
  await server.serve({ lost, next })
  const { keys, clock } = keySet(t, server)
  const authenticator = authenticatorOf(new TokenKeys({ algorithm: 'auto', secret: undefined, publicKey: undefined, keySet: keys }), { ms: Date.now() })
  const stolen = [await sign(claims, { alg: 'ES256', kid: 'lost', key: lost.privateKey })]
  await authenticator.identify(stolen)
  await server.serve({ next })
  clock.ms += 3600 * SECOND
  const { version } = keys
  t.notOk(authenticator.identify(stolen) instanceof Promise, 'nobody waits for the fetch that it brings about')
  await until(() => keys.version !== version)
  await t.rejects(async () => await authenticator.identify(stolen), { code: 'RGT_TOKEN_INVALID', message: 'Unknown key ID: lost' })
  t.ok(await authenticator.identify([await sign(claims, { alg: 'ES256', kid: 'next', key: next.privateKey })]))
})

t.test('tokens that were seen before are not accepted on keys that are too old', async t => {
  const server = await startKeyServer(t)
  const own = pairs.ES256()
  await server.serve({ own })
  const { keys, clock } = keySet(t, server)
  const authenticator = authenticatorOf(new TokenKeys({ algorithm: 'ES256', secret: undefined, publicKey: undefined, keySet: keys }), { ms: Date.now() })
  const token = [await sign(claims, { alg: 'ES256', key: own.privateKey })]
  await authenticator.identify(token)
  server.answer(500, '')
  clock.ms += 86_400 * SECOND + 1
  await t.rejects(async () => await authenticator.identify(token), { code: 'RGT_KEYS_UNAVAILABLE' })
})

t.test('while the keys cannot be fetched, known ones are used for a day, and what cannot be known is answered as an outage', async t => {
  const server = await startKeyServer(t)
  const { keys, clock, warnings } = keySet(t, server)
  await server.serve({ a: pairs.ES256() })
  await keys.keyFor(es('a'))
  const { version } = keys
  server.answer(500, 'down')

  clock.ms += 3600 * SECOND
  t.ok(await keys.keyFor(es('a')), 'old, and nobody waits for the fetch')
  await until(() => warnings.length === 1)
  await t.rejects(keys.keyFor(es('b')), { code: 'RGT_KEYS_UNAVAILABLE', status: 503, retryable: true }, 'it may be a new one')
  clock.ms += 82_800 * SECOND
  t.ok(await keys.keyFor(es('a')), 'a day old')
  t.ok(keys.isUsable)
  clock.ms += 1
  t.notOk(keys.isUsable)
  await t.rejects(keys.keyFor(es('a')), { code: 'RGT_KEYS_UNAVAILABLE' })
  t.equal(warnings.length, 1, 'an outage is one line in the log')

  await server.serve({ a: pairs.ES256() })
  clock.ms += SECOND
  t.ok(await keys.keyFor(es('a')), 'a second after it is back')
  t.not(keys.version, version)
  t.equal(warnings.length, 2)
})

t.test('keys that are fetched again and have not changed change nothing', async t => {
  const server = await startKeyServer(t)
  const { keys, clock } = keySet(t, server)
  await server.serve({ a: pairs.ES256() })
  await keys.keyFor(es('a'))
  const { version } = keys
  clock.ms += 3600 * SECOND
  t.ok(keys.isUsable)
  await until(() => server.requests() === 2)
  t.equal(keys.version, version)
})

t.test('answers that are no key set are an outage', async t => {
  const server = await startKeyServer(t)
  for (const [status, body] of [
    [200, ''], [200, '<html>'], [200, '{}'], [200, '{"keys":{}}'], [200, 'null'], [200, `{"keys":[],"x":"${'x'.repeat(1_100_000)}"}`],
    [404, '{"keys":[]}'], [302, ''], [500, '']
  ] as const) {
    server.answer(status, body)
    await t.rejects(keySet(t, server).keys.keyFor(es('a')), { code: 'RGT_KEYS_UNAVAILABLE' }, `${status} ${body.slice(0, 20)}`)
  }
  server.stall()
  await t.rejects(keySet(t, server, { timeoutMs: 100 }).keys.keyFor(es('a')), { code: 'RGT_KEYS_UNAVAILABLE' }, 'no answer')
})

t.test('keys that a set may not hold open nothing', async t => {
  const server = await startKeyServer(t)
  const { privateKey } = pairs.ES256()
  const secret = { kty: 'oct', kid: 'secret', k: Buffer.from('a secret of thirty-two bytes or more').toString('base64url'), alg: 'HS256' }
  server.answer(200, JSON.stringify({ keys: [secret, { ...privateKey.export({ format: 'jwk' }), kid: 'private' }, { kty: 'EC', crv: 'P-256', kid: 'broken', x: 'AQ', y: 'AQ' }] }))
  const service = await startProtected(t, { jwtSecret: undefined, jwtAlgorithm: 'auto', jwtJwksUrl: server.url })
  t.equal((await service.as(await sign(claims, { kid: 'secret' }), 'GET', LIST)).status, 401, 'a secret that everybody can fetch')
  for (const kid of ['private', 'broken', 'secret']) {
    t.equal((await service.as(await sign(claims, { alg: 'ES256', kid, key: privateKey }), 'GET', LIST)).status, 401, kid)
  }
})

t.test('a service whose keys were never fetched starts, says that it cannot tell, and goes on when they come', async t => {
  const server = await startKeyServer(t)
  const own = pairs.ES256()
  server.answer(503, '')
  const service = await startProtected(t, { jwtSecret: undefined, jwtAlgorithm: 'ES256', jwtJwksUrl: server.url })
  const token = await sign(claims, { alg: 'ES256', kid: 'k', key: own.privateKey })
  const away = await service.as(token, 'GET', LIST)
  t.match(away, { status: 503, json: { success: false, code: 'RGT_KEYS_UNAVAILABLE', retryable: true } })
  t.equal(away.headers.get('retry-after'), '1')
  t.equal((await service.as(null, 'GET', LIST)).status, 401, 'without a token there is nothing to find out')
  t.equal((await service.as('a.b.c', 'GET', LIST)).status, 401)
  t.equal((await service.as(null, 'GET', '/health')).status, 200)
  await server.serve({ k: own })
  await until(async () => (await service.as(token, 'GET', LIST)).status === 200, 30_000)
})

t.test('a service that is closed does not wait for keys', async t => {
  const server = await startKeyServer(t)
  server.stall()
  const service = await startProtected(t, { jwtSecret: undefined, jwtAlgorithm: 'ES256', jwtJwksUrl: server.url, jwtJwksTimeoutMs: 60_000 })
  const waiting = service.as(await sign(claims, { alg: 'ES256', key: pairs.ES256().privateKey }), 'GET', LIST).catch(() => null)
  await until(() => server.requests() === 1)
  await service.close()
  await waiting
  t.pass()
})

t.test('a key that is withdrawn while a token is being verified with it is not remembered as good', async t => {
  const server = await startKeyServer(t)
  const [leaked, fresh] = [pairs.ES256(), pairs.ES256()]
  await server.serve({ leaked, fresh })
  const { keys, clock } = keySet(t, server)
  let beforeUse = async (): Promise<void> => {}
  class Watched extends TokenKeys {
    override async keyFor (header: Parameters<TokenKeys['keyFor']>[0]): ReturnType<TokenKeys['keyFor']> {
      const key = await super.keyFor(header)
      await beforeUse()
      return key
    }
  }
  const authenticator = authenticatorOf(new Watched({ algorithm: 'auto', secret: undefined, publicKey: undefined, keySet: keys }), { ms: Date.now() })
  const authorization = [`Bearer ${await sign(claims, { alg: 'ES256', kid: 'leaked', key: leaked.privateKey })}`]
  beforeUse = async () => {
    beforeUse = async () => {}
    await server.serve({ fresh })
    clock.ms += 20 * SECOND
    // A token with a key that is not known has the keys fetched.
    await t.rejects(keys.keyFor(es('other')), { code: 'RGT_TOKEN_INVALID' })
  }
  t.ok(await authenticator.identify(authorization), 'it was good when that began')
  clock.ms += 20 * SECOND
  await t.rejects(async () => await authenticator.identify(authorization), { code: 'RGT_TOKEN_INVALID' })
})

t.test('tokens signed with the secret do not depend on keys that cannot be fetched', async t => {
  const server = await startKeyServer(t)
  const { keys } = keySet(t, server)
  server.answer(500, '')
  for (const algorithm of ['HS256', 'auto']) {
    const authenticator = authenticatorOf(new TokenKeys({ algorithm, secret: SECRET, publicKey: undefined, keySet: keys }), { ms: Date.now() })
    const authorization = [`Bearer ${await sign(claims)}`]
    await authenticator.identify(authorization)
    t.notOk(authenticator.identify(authorization) instanceof Promise, `${algorithm}: it is remembered`)
  }
})
