import { ERRORS } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'

/** A JSON Schema of the draft 2020-12, which is that of OpenAPI 3.1. */
export type Schema = Readonly<Record<string, unknown>>

/** What is answered with each status. */
export type Responses = Readonly<Record<number, Schema>>

/** One response for each status that these codes have, with the codes that come with it. */
export function errorResponses (...codes: readonly ErrorCode[]): Responses {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of new Set(codes)) {
    const { status } = ERRORS[code]
    byStatus.set(status, [...byStatus.get(status) ?? [], code])
  }
  return Object.fromEntries([...byStatus].map(([status, those]) => [status, errorResponse(status, those)]))
}

/** The same responses with these errors besides. What a status means already that is no error of the table stays as it is. */
export function withErrors (responses: Responses, codes: readonly ErrorCode[]): Responses {
  const known = Object.values(responses).flatMap(codesOf)
  const taken = new Set(Object.entries(responses).filter(([, response]) => codesOf(response).length === 0).map(([status]) => Number(status)))
  return { ...responses, ...errorResponses(...[...known, ...codes].filter(code => !taken.has(ERRORS[code].status))) }
}

/** The codes that a response of errorResponses names; none for any other response. */
function codesOf ({ properties }: Schema): readonly ErrorCode[] {
  const { code } = (properties ?? {}) as { code?: { enum?: readonly ErrorCode[] } } // as errorResponse makes it
  return code?.enum ?? []
}

/** What every error is told with; a response names the codes that it may have. */
export const ERROR_BODY = {
  type: 'object' as const,
  properties: {
    success: { const: false },
    error: { type: 'string' as const, description: 'What is wrong, for people' },
    code: { type: 'string' as const, description: 'What is wrong, for programs: codes are stable' },
    retryable: { type: 'boolean' as const, description: 'Whether the same request may be sent again as it is' },
    field: { type: 'string' as const, description: 'The part of the request at fault, such as `items[3].queue`' }
  },
  required: ['success', 'error', 'code', 'retryable']
}

function errorResponse (status: number, codes: readonly ErrorCode[]): Schema {
  const { retryable } = ERRORS[codes[0] ?? 'RGT_INTERNAL']
  const headers = {
    // As plugins/errors.ts sends them.
    ...(status === 503 || status === 429 ? { 'Retry-After': { type: 'integer', minimum: 0, description: 'Seconds after which it is worth trying again' } } : {}),
    ...(status === 401 ? { 'WWW-Authenticate': { type: 'string', description: 'RFC 6750, section 3' } } : {})
  }
  return {
    description: codes.map(code => `\`${code}\` ${ERRORS[code].message.replace('%s', '…')}`).join('; '),
    ...ERROR_BODY,
    properties: { ...ERROR_BODY.properties, code: { type: 'string', enum: codes }, retryable: { const: retryable } },
    ...(Object.keys(headers).length === 0 ? {} : { headers })
  }
}
