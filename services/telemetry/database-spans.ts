import { SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api'
import type { Span, Tracer } from '@opentelemetry/api'
import type { Row } from 'postgres'
import { codeOf } from '../database/faults.ts'
import type { CallTracer, Statement } from '../database/pool.ts'
import { currentLinks } from './scopes.ts'

// What stands behind the schema in a statement: the function it calls, or else a table.
const QUALIFIED = /^\.(\w+)(\(?)/
const SQLSTATE = /^[0-9A-Z]{5}$/
// The conventions' word for what has none.
const NO_CODE = '_OTHER'

/**
 * A span for each call of the pool that is made within another span, from the wait for a connection to the answer, by the
 * semantic conventions for databases. It has the name of the function that is called and no value of the statement.
 */
export class DatabaseSpans implements CallTracer {
  readonly #tracer: Tracer

  constructor (tracer: Tracer) {
    this.#tracer = tracer
  }

  async trace<T extends Row> (statement: Statement<T>, call: (statement: Statement<T>) => Promise<T[]>): Promise<T[]> {
    // What the service does by itself would be traces of one span, by the thousand.
    if (trace.getSpan(context.active()) === undefined) return await call(statement)
    const span = this.#tracer.startSpan('query', { kind: SpanKind.CLIENT, attributes: { 'db.system.name': 'postgresql' }, links: currentLinks() })
    try {
      return await call((sql, schema) => {
        const query = statement(sql, schema)
        // The driver keeps the pieces of its template there, which its types do not say.
        describe(span, (query as { strings?: readonly string[] }).strings ?? [])
        return query
      })
    } catch (error) {
      const code = codeOf(error) || NO_CODE
      // Not the message: the database's quote values.
      span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute('error.type', code)
      if (SQLSTATE.test(code)) span.setAttribute('db.response.status_code', code)
      throw error
    } finally {
      span.end()
    }
  }
}

function describe (span: Span, pieces: readonly string[]): void {
  for (const piece of pieces) {
    const [, name, call] = QUALIFIED.exec(piece) ?? []
    if (name === undefined) continue
    span.updateName(name).setAttribute(call === '(' ? 'db.stored_procedure.name' : 'db.collection.name', name)
    return
  }
}
