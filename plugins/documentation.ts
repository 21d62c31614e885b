import swagger from '@fastify/swagger'
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { ErrorCode } from '../services/errors.ts'
import { BEARER, accessNote, emptyDocument, finished } from '../services/openapi/document.ts'
import { withErrors } from '../services/openapi/error-responses.ts'
import type { Responses } from '../services/openapi/error-responses.ts'
import { REGENT_OPTIONS } from '../services/options.ts'
import { packageVersion } from '../services/package-root.ts'
import { isNeverLimited } from './rate-limit.ts'

export interface DocumentationPluginOptions {
  /** Whether it is served. */
  documentation: boolean
  /** Tells several in one application apart, which may describe all of them in a document of its own. */
  decorator: string
  jwtEnabled: boolean
  jwtJwksUrl: string | undefined
  /** Whether the application decides about requests itself. */
  isAuthorized: boolean
  rateLimitRequests: number
}

/** Where the page with the description is, and what belongs to it. */
export const PAGE_PATH = '/documentation'

// Whatever is sent to a route without a body is read all the same, and thrown away.
const OF_BODIES: readonly ErrorCode[] = ['RGT_BODY_NOT_UTF8', 'RGT_BODY_TOO_LARGE', 'RGT_OVERLOADED']
const OF_TOKENS: readonly ErrorCode[] = ['RGT_TOKEN_INVALID', 'RGT_TOKEN_EXPIRED']
const OF_CALLERS: readonly ErrorCode[] = ['RGT_AUTH_REQUIRED', 'RGT_FORBIDDEN', 'RGT_QUEUE_FORBIDDEN']

/**
 * The description of the API, made of what the routes that are registered from here on say about themselves. It only describes:
 * requests are read and answers are written by the routes, so schemas neither check the one nor print the other.
 */
async function documentationPlugin (app: FastifyInstance, options: DocumentationPluginOptions): Promise<void> {
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => data => JSON.stringify(data))
  app.addHook('onRoute', route => {
    // What serves the page cannot be told what it needs.
    if (route.url === app.prefix + PAGE_PATH || route.url.startsWith(`${app.prefix}${PAGE_PATH}/`)) route.config = { ...route.config, access: 'public' }
    else if (route.schema !== undefined && route.schema.hide !== true) route.schema = completed(route, route.schema, options, app.prefix)
  })
  if (!options.documentation) return

  await app.register(swagger, {
    openapi: emptyDocument({ version: packageVersion(), prefix: app.prefix, asksForTokens: options.jwtEnabled && !options.isAuthorized }),
    // Both are of the version that this is of.
    convertConstToEnum: false,
    transform: ({ schema, url, route }) => ({ schema: secured(schema, route, options), url }),
    transformObject: document => 'openapiObject' in document ? finished(document.openapiObject) : {}
  })
}

/** With what follows from the options and from how the route is registered. */
function completed ({ method, url, config }: RouteOptions, schema: FastifySchema, options: DocumentationPluginOptions, prefix: string): FastifySchema {
  const access = config?.access ?? 'admin'
  const isGuarded = access !== 'public' && (options.jwtEnabled || options.isAuthorized)
  const codes: ErrorCode[] = ['RGT_INTERNAL']
  if (method !== 'GET' && config?.isStreamed !== true) codes.push(...OF_BODIES)
  if (config?.pressureHandler === undefined) codes.push('RGT_OVERLOADED')
  if (isGuarded) codes.push(...OF_CALLERS, ...options.isAuthorized ? [] : OF_TOKENS)
  if (isGuarded && !options.isAuthorized && options.jwtJwksUrl !== undefined) codes.push('RGT_KEYS_UNAVAILABLE')
  if (options.rateLimitRequests > 0 && !isNeverLimited(url.slice(prefix.length))) codes.push('RGT_RATE_LIMITED')
  return {
    ...schema,
    ...(schema.operationId === undefined ? {} : { operationId: operationIdOf(schema.operationId, options) }),
    response: withErrors((schema.response ?? {}) as Responses, codes), // as routes/schemas has them
    'x-regent-access': access,
    ...(isGuarded ? { description: [schema.description, accessNote(access, config?.queueIn !== undefined)].filter(text => text !== undefined).join('\n\n') } : {})
  } as FastifySchema
}

/** Ids are unique within a document. */
function operationIdOf (id: string, { decorator }: DocumentationPluginOptions): string {
  return decorator === REGENT_OPTIONS.decorator.default ? id : decorator + id.charAt(0).toUpperCase() + id.slice(1)
}

/** Only in the document of our own: that of a host does not know the scheme. */
function secured (schema: FastifySchema, { config }: RouteOptions, { jwtEnabled, isAuthorized }: DocumentationPluginOptions): FastifySchema {
  const needsToken = jwtEnabled && !isAuthorized && config?.access !== 'public'
  return needsToken ? { ...schema, security: [{ [BEARER]: [] }] } : schema
}

export default fp(documentationPlugin, { name: 'regent-documentation', fastify: '5.x' })
