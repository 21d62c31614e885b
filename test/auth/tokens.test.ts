import { createHmac } from 'node:crypto'
import { connect as connectSocket } from 'node:net'
import { once } from 'node:events'
import { CompactEncrypt, SignJWT, exportJWK } from 'jose'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { TokenKeys } from '../../services/auth/token-keys.ts'
import { createDatabase } from '../support.ts'
import { SECRET, authenticatorOf, bearer, forge, pairs, seconds, sign, startProtected } from './support.ts'
import type { Protected } from './support.ts'

const LIST = '/api/v1/resources/namespaces'
const claims = { sub: 'somebody', role: 'admin' }

async function statusOf (service: Protected, token: string): Promise<number> {
  return (await service.as(token, 'GET', LIST)).status
}

/** Every one of the tokens is refused, and each said to be what it is. */
async function refused (t: Test, service: Protected, tokens: Record<string, [token: string | Promise<string>, error: RegExp]>): Promise<void> {
  for (const [what, [token, error]] of Object.entries(tokens)) {
    const { status, json } = await service.as(await token, 'GET', LIST)
    t.match({ status, ...json }, { status: 401, error, code: /^RGT_TOKEN_(INVALID|EXPIRED)$/ }, what)
  }
}

t.test('tokens are accepted as the algorithm and its key say', async t => {
  const databaseUrl = await createDatabase(t)
  for (const [alg, { privateKey, pem }] of [['RS256', pairs.RS256()], ['ES256', pairs.ES256()], ['EdDSA', pairs.EdDSA()]] as const) {
    const service = await startProtected(t, { databaseUrl, jwtSecret: undefined, jwtAlgorithm: alg, jwtPublicKey: pem.replaceAll('\n', '\\n') })
    const good = await sign(claims, { alg, key: privateKey })
    t.equal(await statusOf(service, good), 200, alg)
    await refused(t, service, {
      'another key of the kind': [sign(claims, { alg, key: pairs[alg]().privateKey }), /invalid signature/],
      'a changed payload': [good.split('.').with(1, forge({}, { ...claims, sub: 'x' }).split('.')[1] ?? '').join('.'), /invalid signature/],
      'no signature': [good.slice(0, good.lastIndexOf('.') + 1), /invalid signature/],
      'a secret': [sign(claims), new RegExp(`^Token uses HS256, expected ${alg}$`)],
      'the public key as a secret': [sign(claims, { key: pem }), /^Token uses HS256/],
      none: [forge({ alg: 'none' }, claims), new RegExp(`^Token uses none, expected ${alg}$`)]
    })
    await service.close()
  }
  const rsa = pairs.RS256()
  const service = await startProtected(t, { databaseUrl, jwtSecret: undefined, jwtAlgorithm: 'RS256', jwtPublicKey: rsa.pem })
  for (const alg of ['RS384', 'RS512', 'PS256']) await refused(t, service, { [alg]: [sign(claims, { alg, key: rsa.privateKey }), /, expected RS256$/] })
})

t.test('with auto, each kind of token is verified with the key of its own kind', async t => {
  const { privateKey, pem } = pairs.RS256()
  const service = await startProtected(t, { jwtAlgorithm: 'auto', jwtPublicKey: pem })
  t.equal(await statusOf(service, await sign(claims)), 200, 'the secret')
  t.equal(await statusOf(service, await sign(claims, { alg: 'RS256', key: privateKey })), 200, 'the key pair')
  const signedByHand = forge({ alg: 'HS256' }, claims).slice(0, -1)
  await refused(t, service, {
    'the public key as PEM, taken for a secret': [sign(claims, { key: pem }), /invalid signature/],
    'the same without its last line break': [`${signedByHand}.${createHmac('sha256', pem.trim()).update(signedByHand).digest('base64url')}`, /invalid signature/],
    none: [forge({ alg: 'none' }, claims), /^Unsupported algorithm: none$/],
    'none in other letters': [forge({ alg: 'nOnE' }, claims), /^Unsupported algorithm: nOnE$/],
    'no algorithm': [forge({}, claims), /^Unsupported algorithm: undefined$/],
    'one there is no key for': [sign(claims, { alg: 'EdDSA', key: pairs.EdDSA().privateKey }), /^Unsupported algorithm: EdDSA$/],
    'a long name': [forge({ alg: 'x'.repeat(5000) }, claims), /^Unsupported algorithm: x{20}$/]
  })
})

t.test('what a token says about its own keys, and what is not understood, is refused', async t => {
  const { privateKey, publicKey, pem } = pairs.ES256()
  const mine = pairs.ES256()
  const service = await startProtected(t, { jwtSecret: undefined, jwtAlgorithm: 'ES256', jwtPublicKey: pem })
  const signed = async (header: Record<string, unknown>, key = privateKey): Promise<string> => await sign(claims, { alg: 'ES256', key, header })
  const jwk = await exportJWK(mine.publicKey)
  const encrypted = await new CompactEncrypt(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A128GCM' }).encrypt(publicKey)
  t.equal(await statusOf(service, await signed({ kid: '../../etc/passwd' })), 200, 'a key id means nothing where there is one key')
  await refused(t, service, {
    'a key within it': [signed({ jwk }, mine.privateKey), /invalid signature/],
    'the URL of a key': [signed({ jku: 'https://example.com/keys', x5u: 'https://example.com/cert', kid: 'mine' }, mine.privateKey), /invalid signature/],
    'an extension marked as critical': [forge({ alg: 'ES256', crit: ['exp'], exp: 1 }, claims, 'x'.repeat(86)), /not supported/],
    'a payload that is not encoded': [forge({ alg: 'ES256', crit: ['b64'], b64: false }, claims, 'x'.repeat(86)), /Token/],
    'an encrypted token': [encrypted, /not a signed JWT/],
    'no JSON': ['YWJj.YWJj.YWJj', /cannot be read/],
    'an array for a header': [`${Buffer.from('[]').toString('base64url')}.e30.x`, /Token|algorithm/],
    'claims that are no object': [(await new SignJWT({}).setProtectedHeader({ alg: 'ES256' }).sign(privateKey)).split('.').with(1, 'W10').join('.'), /invalid signature/],
    'a word': ['admin', /not a signed JWT/],
    'two parts': ['e30.e30', /not a signed JWT/],
    'characters of other alphabets': ['e30.e30.ä+/=', /not a signed JWT/]
  })
})

t.test('times, issuer and audience are checked with the clock skew that is allowed', async t => {
  const service = await startProtected(t, { jwtIssuer: 'https://issuer', jwtAudience: 'regent', jwtClockSkewSeconds: 60 })
  const good = { ...claims, iss: 'https://issuer', aud: 'regent' }
  const now = seconds()
  for (const [what, extra] of Object.entries({
    'within the skew': { exp: now - 50, nbf: now + 50, iat: now + 50 },
    'one of several audiences': { aud: ['others', 'regent'] },
    'no end': { exp: undefined },
    'numbers with fractions': { exp: now + 100.5 }
  })) t.equal(await statusOf(service, await sign({ ...good, ...extra })), 200, what)
  // Claims of other types than the library lets one sign.
  const odd = async (extra: object): Promise<string> => {
    const unsigned = forge({ alg: 'HS256' }, { ...good, ...extra }).slice(0, -1)
    return `${unsigned}.${createHmac('sha256', SECRET).update(unsigned).digest('base64url')}`
  }
  t.equal(await statusOf(service, await odd({})), 200, 'signed by hand')
  await refused(t, service, {
    expired: [sign({ ...good, exp: now - 61 }), /^Token has expired$/],
    'not yet valid': [sign({ ...good, nbf: now + 90 }), /^Token is not valid yet$/],
    'issued in the future': [sign({ ...good, iat: now + 90 }), /^Token is not valid yet$/],
    'another issuer': [sign({ ...good, iss: 'https://issuer/' }), /^Invalid token issuer$/],
    'no issuer': [sign({ ...claims, aud: 'regent' }), /^Invalid token issuer$/],
    'another audience': [sign({ ...good, aud: 'regents' }), /^Invalid token audience$/],
    'other audiences': [sign({ ...good, aud: ['a', 'b'] }), /^Invalid token audience$/],
    'an end that is a text': [odd({ exp: String(now + 100) }), /^Invalid claim: exp$/],
    'an end that is null': [odd({ exp: null }), /^Invalid claim: exp$/],
    'a beginning that is a text': [odd({ nbf: '0' }), /^Invalid claim: nbf$/],
    'an issue that is a list': [odd({ iat: [0] }), /^Invalid claim: iat$/],
    'issuers as a list': [odd({ iss: ['https://issuer'] }), /^Invalid token issuer$/],
    'an audience that is an object': [odd({ aud: { regent: true } }), /^Invalid token audience$/],
    'a subject that is a number': [odd({ sub: 7 }), /^Invalid claim: sub must be a text/],
    'a subject without end': [odd({ sub: 'x'.repeat(256) }), /^Invalid claim: sub must be a text/],
    'a subject that cannot be stored': [odd({ sub: 'a\0b' }), /^Invalid claim: sub must be a text/]
  })
})

t.test('the header is read as clients of this API send it', async t => {
  const service = await startProtected(t)
  const token = await sign(claims)
  const other = await sign({ ...claims, role: 'read-only' })
  const send = async (authorization: string): Promise<number> => (await service.call('GET', LIST, undefined, { headers: { authorization } })).status
  for (const header of [`Bearer ${token}`, `bearer ${token}`, `BEARER   ${token}`, token]) t.equal(await send(header), 200, header.slice(0, 10))
  for (const header of ['Bearer', 'Bearer ', 'Bearer Bearer', `Basic ${token}`, `Bearer ${token} ${token}`, `Bearer ${token},`, 'null', 'undefined']) {
    t.equal(await send(header), 401, header.slice(0, 20))
  }
  t.equal((await service.call('GET', `${LIST}?access_token=${token}&token=${token}`)).status, 401, 'not in the address, which is logged everywhere')
  t.equal((await service.call('GET', LIST, undefined, { headers: { cookie: `token=${token}`, 'x-authorization': token } })).status, 401)

  // What stands in front of the service may have looked at the other one.
  for (const headers of [[token, other], [other, token], [token, token], ['', token]]) {
    const socket = connectSocket(Number(new URL(service.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(`GET ${LIST} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers.map((value, i) => `${i === 0 ? 'Authorization' : 'AUTHORIZATION'}: Bearer ${value}\r\n`).join('')}\r\n`)
    let answer = ''
    for await (const chunk of socket.setEncoding('utf8')) answer += String(chunk)
    t.match(answer, /^HTTP\/1.1 401 [^]*more than one Authorization header/)
  }
})

t.test('a giant token is refused before anything is computed, and an endless one does not take long to read', async t => {
  const service = await startProtected(t)
  const { app } = service
  // Longer heads than the server reads: as an application with larger ones would hand them on.
  const send = async (token: string): Promise<{ status: number, error: string }> => {
    const { statusCode: status, body } = await app.inject({ method: 'GET', url: LIST, headers: bearer(token).headers as Record<string, string> })
    return { status, error: (JSON.parse(body) as { error: string }).error }
  }
  const large = await sign({ ...claims, groups: Array.from({ length: 900 }, (_x, i) => `group-${i}`) })
  t.ok(large.length > 12_000 && large.length < 16_384)
  t.equal((await app.inject({ method: 'GET', url: LIST, headers: { authorization: `Bearer ${large}` } })).statusCode, 200, 'one with many groups is none')
  t.match(await send(await sign({ ...claims, groups: 'x'.repeat(20_000) })), { status: 401, error: 'Token is longer than 16384 characters' }, 'though it is signed')
  for (const hostile of ['a'.repeat(10_000_000), `${'a.'.repeat(8000)}`, `${'-'.repeat(16_000)}.`, `${'a'.repeat(8000)}.${'a'.repeat(8000)}!`, 'bearer '.repeat(2000)]) {
    t.match(await send(hostile), { status: 401, error: /^Token/ })
  }
})

t.test('a token that was seen before is still only good until it ends', async t => {
  const clock = { ms: 1_000_000_000 }
  const keys = new TokenKeys({ algorithm: 'HS256', secret: SECRET, publicKey: undefined, keySet: null })
  const authenticator = authenticatorOf(keys, clock, 30)
  const tokens = await Promise.all([1_000_100, 1_000_200].map(async exp => [`Bearer ${await sign({ ...claims, exp })}`]))
  const [token = [], longer = []] = tokens
  const first = authenticator.identify(token)
  t.ok(first instanceof Promise, 'it is verified')
  t.match(await first, { subject: 'somebody' })
  await authenticator.identify(longer)
  clock.ms = 1_000_129_999
  t.equal(authenticator.identify(token), await first, 'it is known, and the same caller')
  t.equal(authenticator.identify([token[0]?.slice('Bearer '.length) ?? '']), await first, 'however it is sent')
  clock.ms++
  for (let i = 0; i < 2; i++) await t.rejects(async () => await authenticator.identify(token), { code: 'RGT_TOKEN_EXPIRED', message: 'Token has expired' })
  t.notOk(authenticator.identify(longer) instanceof Promise)
})

t.test('paths that are exempt need no token, by the whole path or everything below a slash', async t => {
  const service = await startProtected(t, { prefix: '/mq', jwtSkipPaths: '/api/v1/push, /api/v1/resources/,/' })
  const status = async (method: string, path: string, body?: unknown): Promise<number> => (await service.as(null, method, `/mq${path}`, body)).status
  t.equal(await status('POST', '/api/v1/push', { items: [] }), 201)
  t.equal(await status('POST', '/api/v1/push?x=/api', { items: [] }), 201)
  t.equal(await status('GET', '/api/v1/resources/queues'), 200)
  for (const path of ['/api/v1/messages', '/api/v1/status', '/api/v1/dlq?x=/api/v1/resources/']) t.equal(await status('GET', path), 401, path)
  for (const path of ['/api/v1/resources', '/api/v1/resources/../dlq', '/api/v1/push/', '/api/v1/push%2f']) t.not(await status('GET', path), 200, path)
  t.equal(await status('POST', '/api/v1/pus%68', { items: [] }), 401, 'in another spelling')
  t.equal((await service.as('none', 'GET', '/mq/api/v1/resources/queues')).status, 200, 'whatever is in the header')
  t.equal((await service.as(null, 'GET', '/mq/health')).status, 200, 'public routes are so whatever is exempt')
})

t.test('a WebSocket is opened with a token, and lasts', async t => {
  const service = await startProtected(t)
  const open = async (token: string | null): Promise<number> => {
    const socket = new WebSocket(`${service.url.replace('http', 'ws')}/api/v1/channels`, token === null ? {} : { headers: { authorization: `Bearer ${token}` } })
    t.teardown(() => { socket.terminate() })
    return await new Promise((resolve, reject) => {
      socket.once('open', () => { resolve(101) })
      socket.once('unexpected-response', (_request, response) => { resolve(response.statusCode ?? 0) })
      socket.once('error', reject)
    })
  }
  t.equal(await open(await sign({ role: 'read-write' })), 101)
  t.equal(await open(null), 401)
  t.equal(await open(await sign({ role: 'read-write' }, { key: SECRET + '.' })), 401)
  t.equal(await open(await sign({ role: 'read-only' })), 403)
})

t.test('neither tokens nor claims are logged', async t => {
  const lines: string[] = []
  const { default: Fastify } = await import('fastify')
  const { default: regent } = await import('../../index.ts')
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  await app.register(regent, { databaseUrl: await createDatabase(t), jwtEnabled: true, jwtSecret: SECRET, jwtAudience: 'regent' })
  const subject = 'nobody-may-know'
  const good = await sign({ sub: subject, role: 'read-only', aud: 'regent' })
  const tokens = [good, await sign({ sub: subject }), await sign({ sub: subject, aud: 'regent', exp: 1 }), await sign({ sub: subject, aud: 'regent' }, { key: SECRET + '.' }), forge({ alg: 'none' }, { sub: subject })]
  for (const token of tokens) {
    for (const method of ['GET', 'DELETE'] as const) await app.inject({ method, url: '/api/v1/consumer-groups/x', headers: { authorization: `Bearer ${token}` } })
  }
  const log = lines.join('')
  t.match(log, /RGT_TOKEN_EXPIRED/, 'that there was a refusal is')
  t.notMatch(log, subject)
  t.notMatch(log, SECRET)
  for (const token of tokens) for (const part of token.split('.').filter(part => part.length > 30)) t.notOk(log.includes(part))
})
