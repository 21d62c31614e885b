import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { PAGE_PATH } from '../plugins/documentation.ts'
import { documentationSchemas } from './schemas/documentation.ts'

const DOCUMENT_PATH = '/openapi.json'
// Everything comes from here, and the page calls nobody but us. Its code sets styles of single elements, and its icons are in them.
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/**
 * GET /openapi.json and the page /documentation: what the API is, for programs and for people. Mounted where an application has
 * one of them already, it leaves that alone.
 */
export async function documentationRoutes (app: FastifyInstance): Promise<void> {
  const isTaken = (path: string): boolean => app.hasRoute({ method: 'GET', url: app.prefix + path })
  if (!isTaken(DOCUMENT_PATH)) serveDocument(app)
  if (!isTaken(PAGE_PATH)) await servePage(app)
}

function serveDocument (app: FastifyInstance): void {
  let document: string | undefined

  app.get(DOCUMENT_PATH, { config: { access: 'public' }, schema: documentationSchemas.document }, async (_request, reply) => {
    // Once all routes are there, and not for those who never ask.
    document ??= JSON.stringify(app.swagger())
    return await reply.type('application/json').send(document)
  })
}

async function servePage (app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, {
    routePrefix: PAGE_PATH,
    indexPrefix: app.prefix,
    staticCSP: CONTENT_SECURITY_POLICY,
    theme: { title: 'Regent' },
    uiConfig: { deepLinking: true, displayOperationId: true, displayRequestDuration: true, docExpansion: 'list', tryItOutEnabled: true }
  })
}
