import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { rolesFor } from '../services/auth/access.ts'
import type { Access, NeededAccess, Role } from '../services/auth/access.ts'
import { Authenticator } from '../services/auth/authenticator.ts'
import { readPatterns, readSubject } from '../services/auth/caller.ts'
import type { Authorization, Authorize, Caller } from '../services/auth/caller.ts'
import { KeySet } from '../services/auth/key-set.ts'
import type { AuthOptions } from '../services/auth/options.ts'
import { QueueAccess } from '../services/auth/queue-access.ts'
import { TokenKeys } from '../services/auth/token-keys.ts'
import { RegentError } from '../services/errors.ts'
import { firstText } from '../services/http/query-text.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses callers the queues that are not theirs. */
    auth: QueueAccess
  }
  interface FastifyRequest {
    /** Who has sent it; null: somebody who may do everything and is nobody in particular. */
    regentCaller: Caller | null
  }
  interface FastifyContextConfig {
    /** What the route needs; every route says it. */
    access?: Access
    /**
     * Where the one queue is named that the route is about: its path, the parameter `queue` of its query, the partition in its
     * path; `handler`: its handler finds out and checks. Without it the route is for callers without limits alone.
     */
    queueIn?: 'path' | 'query' | 'partition' | 'handler'
  }
}

export interface AuthPluginOptions extends AuthOptions {
  authorize: Authorize<FastifyRequest> | undefined
}

/** Finds out who has sent a request, or refuses it; null: nobody in particular. */
type Identify = (request: FastifyRequest, access: NeededAccess) => Caller | null | Promise<Caller>

/**
 * Who may use which route. Off unless tokens are enabled or the embedding application authorizes requests itself. A route
 * that does not say what it needs is a mistake that keeps the service from starting.
 */
async function authPlugin (app: FastifyInstance, options: AuthPluginOptions): Promise<void> {
  const queues = new QueueAccess(app.postgres)
  const identify = identifier(app, options)
  app.decorate('auth', queues)
  app.decorateRequest('regentCaller', null)
  app.addHook('onRoute', ({ method, url, config }) => {
    if (config?.access === undefined) throw new Error(`${String(method)} ${url}: its config does not say which access it needs`)
  })
  if (identify === null) return

  app.addHook('onRequest', (request, _reply, done) => {
    // Routes from before this plugin did not have to say it.
    const { access = 'admin' } = request.routeOptions.config
    if (request.is404 || access === 'public') {
      done()
      return
    }
    let admitted: Promise<void> | null
    try {
      admitted = admit(request, access)
    } catch (error) {
      done(asError(error))
      return
    }
    if (admitted === null) done()
    else admitted.then(() => { done(goneFault(request)) }, (error: unknown) => { done(asError(error)) })
  })

  /** Null when that could be decided at once. */
  function admit (request: FastifyRequest, access: NeededAccess): Promise<void> | null {
    const caller = identify === null ? null : identify(request, access)
    if (caller instanceof Promise) return caller.then(async known => { await enter(request, known) })
    return enter(request, caller)
  }

  function enter (request: FastifyRequest, caller: Caller | null): Promise<void> | null {
    request.regentCaller = caller
    return caller === null || caller.queues === null ? null : checkQueue(request, caller)
  }

  function checkQueue (request: FastifyRequest, caller: Caller): Promise<void> | null {
    const { queue, partitionId } = request.params as { queue?: string, partitionId?: string } // the routes that have them say so
    const { queueIn } = request.routeOptions.config
    const named = queueIn === 'path' ? queue : queueIn === 'query' ? firstText((request.query as { queue?: unknown }).queue) : null
    if (queueIn === 'handler') return null
    if (queueIn === 'partition' && partitionId !== undefined) return queues.checkPartitions(caller, [partitionId], () => 'partitionId')
    if (named === null || named === undefined) {
      throw new RegentError('RGT_QUEUE_FORBIDDEN', { detail: queueIn === 'query' ? 'queue is required' : 'this route is about all queues' })
    }
    queues.checkQueue(caller, named, 'queue')
    return null
  }
}

/** Whatever was thrown: without an error the request would be let in. */
function asError (thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('authorization failed', { cause: thrown })
}

/** Routes learn that a client has gone from events, which are over when that happened during the wait. Nobody sees the answer. */
function goneFault ({ raw }: FastifyRequest): Error | undefined {
  return raw.socket.destroyed ? new RegentError('RGT_REQUEST_INVALID', { detail: 'The client has gone' }) : undefined
}

function identifier (app: FastifyInstance, options: AuthPluginOptions): Identify | null {
  const { authorize } = options
  if (authorize !== undefined) return async (request, access) => await askApplication(authorize, request, access)
  return options.jwtEnabled ? byToken(app, options) : null
}

async function askApplication (authorize: Authorize<FastifyRequest>, request: FastifyRequest, access: NeededAccess): Promise<Caller> {
  try {
    const answer: unknown = await authorize(request, access)
    if (!isAuthorization(answer)) throw new RegentError('RGT_FORBIDDEN', { detail: `${access} is needed` })
    return {
      subject: readSubject(answer.subject, 'authorize: subject'),
      queues: answer.queues === undefined || answer.queues === null ? null : readPatterns(answer.queues, 'authorize: queues')
    }
  } catch (error) {
    const statusCode = (error as { statusCode?: unknown } | null)?.statusCode
    if (statusCode === 401) throw new RegentError('RGT_AUTH_REQUIRED', { cause: error })
    if (statusCode === 403) throw new RegentError('RGT_FORBIDDEN', { detail: `${access} is needed`, cause: error })
    // What went wrong inside the application is no concern of the client's, whatever status the error has elsewhere.
    throw error instanceof RegentError ? error : new RegentError('RGT_INTERNAL', { cause: error })
  }
}

/** Anything that is merely true does not say that all queues are meant. */
function isAuthorization (answer: unknown): answer is Authorization {
  return typeof answer === 'object' && answer !== null && !Array.isArray(answer)
}

function byToken (app: FastifyInstance, options: AuthPluginOptions): Identify {
  const keys = tokenKeys(app, options)
  const roleNames: Record<Role, string> = {
    'read-only': options.jwtRoleReadOnly,
    'produce-only': options.jwtRoleProduceOnly,
    'consume-only': options.jwtRoleConsumeOnly,
    'read-write': options.jwtRoleReadWrite,
    admin: options.jwtRoleAdmin
  }
  const authenticator = new Authenticator({
    keys,
    rules: { algorithm: options.jwtAlgorithm, issuer: options.jwtIssuer, audience: options.jwtAudience, clockSkewSeconds: options.jwtClockSkewSeconds },
    names: { role: options.jwtRoleClaim, roles: options.jwtRolesClaim, queues: options.jwtQueuesClaim, roleNames }
  })
  const isSkipped = skipper(options.jwtSkipPaths, app.prefix)
  return (request, access) => {
    if (isSkipped(request.url)) return null
    const caller = authenticator.identify(authorizationOf(request))
    return caller instanceof Promise ? caller.then(permitted) : permitted(caller)

    function permitted (known: Awaited<typeof caller>): Caller {
      if (!known.access.has(access)) throw new RegentError('RGT_FORBIDDEN', { detail: `one of these roles is needed: ${rolesFor(access, roleNames)}` })
      return known
    }
  }
}

function tokenKeys (app: FastifyInstance, options: AuthPluginOptions): TokenKeys {
  const { jwtJwksUrl: url, jwtAlgorithm: algorithm, jwtSecret: secret, jwtPublicKey: publicKey } = options
  const keySet = url === undefined
    ? null
    : new KeySet({
      url,
      refreshMs: options.jwtJwksRefreshSeconds * 1000,
      maxAgeMs: options.jwtJwksMaxAgeSeconds * 1000,
      timeoutMs: options.jwtJwksTimeoutMs,
      log: app.log
    })
  app.addHook('onClose', async () => { keySet?.close() })
  return new TokenKeys({ algorithm, secret, publicKey, keySet })
}

/** Node joins several headers of this name into the first. */
function authorizationOf ({ raw: { rawHeaders } }: FastifyRequest): string[] {
  return rawHeaders.filter((_value, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'authorization')
}

/** Whether a URL's path needs no token: it is one of the paths, or below one that ends in a slash (http-api.md 1.11). */
function skipper (paths: string, prefix: string): (url: string) => boolean {
  const entries = paths.split(',').map(path => path.trim())
  const whole = new Set(entries)
  const folders = entries.filter(path => path.length > 1 && path.endsWith('/'))
  return url => {
    if (!url.startsWith(prefix)) return false
    const query = url.indexOf('?')
    const path = url.slice(prefix.length, query < 0 ? url.length : query)
    return whole.has(path) || folders.some(folder => path.startsWith(folder))
  }
}

export default fp(authPlugin, { name: 'regent-auth', fastify: '5.x', dependencies: ['regent-postgres'] })
