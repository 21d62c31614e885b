import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT, exportJWK } from 'jose'
import type { JWK } from 'jose'
import type { Test } from 'tap'
import type { RegentOptions } from '../../index.ts'
import { Authenticator } from '../../services/auth/authenticator.ts'
import type { TokenKeys } from '../../services/auth/token-keys.ts'
import { startService } from '../support.ts'
import type { Answer, Service } from '../support.ts'

export const SECRET = 'a secret of thirty-two bytes or more'

export interface KeyPair { privateKey: KeyObject, publicKey: KeyObject, pem: string }

export const pairs = {
  RS256: (bits = 2048) => pair(generateKeyPairSync('rsa', { modulusLength: bits })),
  ES256: (namedCurve = 'P-256') => pair(generateKeyPairSync('ec', { namedCurve })),
  EdDSA: () => pair(generateKeyPairSync('ed25519'))
}

function pair ({ privateKey, publicKey }: { privateKey: KeyObject, publicKey: KeyObject }): KeyPair {
  return { privateKey, publicKey, pem: publicKey.export({ type: 'spki', format: 'pem' }).toString() }
}

export interface Signing { alg?: string, kid?: string, key?: KeyObject | string, header?: Record<string, unknown> }

/** A signed token: valid for an hour, with HS256 and the secret above, unless said otherwise. */
export async function sign (claims: Record<string, unknown>, { alg = 'HS256', kid, key = SECRET, header = {} }: Signing = {}): Promise<string> {
  return await new SignJWT({ exp: seconds() + 3600, ...claims })
    .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }), ...header })
    .sign(typeof key === 'string' ? new TextEncoder().encode(key) : key)
}

/** The wall clock in seconds, as claims have it. */
export function seconds (): number {
  return Math.floor(Date.now() / 1000)
}

/** A token from its two readable parts as they are, with a signature that is none. */
export function forge (header: object, claims: object, signature = ''): string {
  return [JSON.stringify(header), JSON.stringify(claims)].map(part => Buffer.from(part).toString('base64url')).join('.') + `.${signature}`
}

/** What finds out who shows a token, on a clock that is moved by hand. */
export function authenticatorOf (keys: TokenKeys, clock: { ms: number }, clockSkewSeconds = 0): Authenticator {
  return new Authenticator({
    keys,
    rules: { algorithm: 'auto', issuer: undefined, audience: undefined, clockSkewSeconds },
    names: {
      role: 'role',
      roles: 'roles',
      queues: 'queues',
      roleNames: { 'read-only': 'read-only', 'produce-only': 'produce-only', 'consume-only': 'consume-only', 'read-write': 'read-write', admin: 'admin' }
    },
    now: () => clock.ms
  })
}

export function bearer (token: string): RequestInit {
  return { headers: { authorization: `Bearer ${token}` } }
}

export interface Protected extends Service {
  /** One request with a token; null: without. A body is sent as JSON. */
  as: (token: string | null, method: string, path: string, body?: unknown, signal?: AbortSignal) => Promise<Answer>
}

/** A service that asks for tokens. */
export async function startProtected (t: Test, options: Partial<RegentOptions> = {}): Promise<Protected> {
  const service = await startService(t, { jwtEnabled: true, jwtSecret: SECRET, ...options })
  return {
    ...service,
    as: async (token, method, path, body, signal) => await service.call(method, path, body, {
      ...(token === null ? {} : bearer(token)),
      ...(signal === undefined ? {} : { signal })
    })
  }
}

export interface KeyServer {
  url: string
  /** Requests so far. */
  requests: () => number
  /** What it answers from now on: these public keys by their ids, or whatever the function does. */
  serve: (keys: Record<string, KeyPair>) => Promise<void>
  answer: (status: number, body: string) => void
  /** Accept requests and never answer them. */
  stall: () => void
}

/** A real HTTP server with a JSON Web Key Set. */
export async function startKeyServer (t: Test): Promise<KeyServer> {
  let requests = 0
  let reply: { status: number, body: string } | null = { status: 200, body: '{"keys":[]}' }
  const server = createServer((_request, response) => {
    requests++
    if (reply !== null) response.writeHead(reply.status, { 'content-type': 'application/json' }).end(reply.body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    requests: () => requests,
    serve: async keys => {
      const jwks: JWK[] = await Promise.all(Object.entries(keys).map(async ([kid, { publicKey }]) => ({ ...await exportJWK(publicKey), kid })))
      reply = { status: 200, body: JSON.stringify({ keys: jwks }) }
    },
    answer: (status, body) => { reply = { status, body } },
    stall: () => { reply = null }
  }
}
