import { described, object, text } from './shared.ts'
import type { Operation } from './shared.ts'

export const documentationSchemas = {
  document: {
    operationId: 'getDescription',
    summary: 'This description',
    tags: ['status'],
    response: { 200: { description: 'An OpenAPI document', ...object({ openapi: described(text, 'The version of OpenAPI') }), additionalProperties: true } }
  }
} satisfies Record<string, Operation>
