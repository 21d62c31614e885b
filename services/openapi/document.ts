import type { NeededAccess } from '../auth/access.ts'
import { ERROR_BODY } from './error-responses.ts'

/** The groups that operations are shown in. */
export const TAGS = {
  messages: 'Push, pop, acknowledge: what producers and consumers do all day',
  queues: 'Queues and their partitions: options, counts, what is in them',
  groups: 'Consumer groups: where they stand, and how they are moved',
  'dead letters': 'Messages that groups have given up on',
  traces: 'What consumers have recorded about messages',
  channels: 'Request and reply',
  status: 'How the service is, and how it was',
  system: 'Operating the service'
} as const

export type Tag = keyof typeof TAGS

const ABOUT = `A partitioned message queue on PostgreSQL, with the API of Queen MQ.

Bodies are JSON whatever their content type says, and fields that are not described here are ignored. Every \`GET\` answers
\`HEAD\` as well, but those that take something. Every answer may have fields besides in later versions. Requests that are no
HTTP, too large in their head or too slow are answered 400, 431 and 408 before anybody looks at their path.`

/** What the name of a token in \`components\` is, where tokens are asked for. */
export const BEARER = 'bearer'

// The name of its schema in `components`.
const ERROR = 'Error'

/** A description of the API before there are operations in it. @param prefix where they are mounted */
export function emptyDocument ({ version, prefix, asksForTokens }: { version: string, prefix: string, asksForTokens: boolean }) {
  return {
    openapi: '3.1.0',
    info: { title: 'Regent', version, description: ABOUT, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: prefix === '' ? '/' : prefix }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    components: {
      schemas: { [ERROR]: structuredClone(ERROR_BODY) },
      ...(asksForTokens ? { securitySchemes: { [BEARER]: { type: 'http' as const, scheme: 'bearer', bearerFormat: 'JWT' } } } : {})
    }
  }
}

/** What an operation says about who may use it. */
export function accessNote (access: NeededAccess, hasLimits: boolean): string {
  return `Needs the access \`${access}\`${hasLimits ? '; a caller that is limited to queues may use it for its own' : '; not for callers that are limited to queues'}.`
}

interface Media { schema?: Record<string, any> }
interface Described { description?: string, content?: Record<string, Media> }
interface DocumentOperation { requestBody?: Described & { required?: boolean }, responses?: Record<string, Described> }

/** The mark of a body that may be left out. */
export const OPTIONAL_BODY = 'x-optional'

/**
 * What the generator cannot be told: which bodies may be left out, and that all errors are of one type, of which a response says
 * what is particular to it. A text is not said both of a response and of its schema.
 */
export function finished<Document extends { paths?: object }> (document: Document): Document {
  const operations = Object.values(document.paths ?? {}).flatMap(path => Object.values(path as Record<string, DocumentOperation>))
  for (const { requestBody, responses } of operations) {
    for (const { schema } of Object.values(requestBody?.content ?? {})) {
      if (schema?.[OPTIONAL_BODY] !== true) continue
      delete schema[OPTIONAL_BODY]
      if (requestBody !== undefined) requestBody.required = false
    }
    for (const { description, content } of Object.values(responses ?? {})) {
      for (const media of Object.values(content ?? {})) {
        if (media.schema?.description === description) delete media.schema?.description
        nameError(media)
      }
    }
  }
  return document
}

/** In the place of an error's whole schema its name, and what only this one has. */
function nameError (media: Media): void {
  const { code, retryable } = media.schema?.properties ?? {}
  if (code?.enum === undefined) return
  media.schema = { allOf: [{ $ref: `#/components/schemas/${ERROR}` }, { properties: { code, retryable } }] }
}
