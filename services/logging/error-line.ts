import { hideSecrets } from './hide-secrets.ts'

/**
 * The only properties of errors that are logged. The database's `detail`, `where` and `hint`, the statement and its parameters
 * hold what clients have sent, and errors of libraries may have anything on them.
 */
const FIELDS = ['code', 'status', 'field', 'reason', 'severity', 'routine', 'schema_name', 'table_name', 'constraint_name', 'syscall', 'address', 'port', 'path'] as const
const MOST_CAUSES = 4
// SQLSTATE class 22, data exception: the message quotes the data.
const DATA_EXCEPTION = /^22[0-9A-Z]{3}$/

/** What a log line says of an error. */
export interface ErrorLine {
  type: string
  message: string
  stack: string
  cause?: ErrorLine
  /** Of an error that stands for several. */
  errors?: ErrorLine[]
  [field: string]: unknown
}

/**
 * How an error is logged: known properties and texts without secrets, its causes likewise.
 * @param error whatever was thrown
 */
export function errorLine (error: unknown, causes = MOST_CAUSES): ErrorLine {
  if (!(error instanceof Error)) return { type: typeof error, message: hideSecrets(String(error)), stack: '' }
  const given = error as Error & Record<string, unknown> // any property may be there
  const message = hideSecrets(typeof given.code === 'string' && DATA_EXCEPTION.test(given.code) ? withoutQuotes(error.message) : error.message)
  const line: ErrorLine = { type: error.name, message, stack: `${error.name}: ${message}${hideSecrets(framesOf(error))}` }
  for (const field of FIELDS) {
    const value = given[field]
    if (typeof value === 'string') line[field] = hideSecrets(value)
    else if (typeof value === 'number') line[field] = value
  }
  if (causes > 0 && error.cause !== undefined) line.cause = errorLine(error.cause, causes - 1)
  if (causes > 0 && error instanceof AggregateError) line.errors = error.errors.slice(0, MOST_CAUSES).map(one => errorLine(one, 0))
  return line
}

function withoutQuotes (message: string): string {
  return message.replace(/".*"/s, '"***"')
}

/** The stack without the message before it, which may have line breaks of its own. */
function framesOf ({ stack = '', message }: Error): string {
  const at = message === '' ? -1 : stack.indexOf(message)
  const rest = at < 0 ? stack : stack.slice(at + message.length)
  const frames = rest.indexOf('\n    at ')
  return frames < 0 ? '' : rest.slice(frames)
}
