import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { RegentError } from '../services/errors.ts'
import { Intake } from '../services/http/intake.ts'
import { decodeUtf8 } from '../services/json/text.ts'

/**
 * Bodies arrive as text, whatever their content type says: clients of this API send JSON under any type and under none,
 * and JSON content types without a body. Each route reads the text itself, so payloads are never parsed and printed.
 * An empty body is an empty text.
 */
async function rawJsonPlugin (app: FastifyInstance): Promise<void> {
  const intake = new Intake()
  app.removeAllContentTypeParsers()
  app.addHook('onRequest', (request, _reply, done) => {
    // The framework refuses a type that it cannot read; here none means anything.
    if (request.headers['content-type'] !== undefined) request.headers['content-type'] = 'application/json'
    done()
  })
  app.addContentTypeParser('*', async (request: FastifyRequest, source: IncomingMessage) => {
    const text = decodeUtf8(await intake.read(source, request.routeOptions.bodyLimit))
    if (text === null) throw new RegentError('RGT_BODY_NOT_UTF8')
    return text
  })
}

export default fp(rawJsonPlugin, { name: 'regent-raw-json', fastify: '5.x' })
