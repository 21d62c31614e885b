import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** The header with the id of a request, in both directions. */
export const REQUEST_ID = 'x-request-id'

// Nothing that has to be escaped anywhere. Several headers of the name arrive as one, joined by a comma.
const WELL_FORMED = /^[\w.:/+=@-]{1,128}$/

/** The id of a request: what whoever sent it calls it, if that can be one, else a new one. What is handed on to another process has it too. */
export function requestId ({ headers }: IncomingMessage): string {
  const given = headers[REQUEST_ID]
  const id = typeof given === 'string' && WELL_FORMED.test(given) ? given : randomUUID()
  headers[REQUEST_ID] = id
  return id
}
