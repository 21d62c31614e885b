import { standsAsItIs } from '../json/text.ts'
import type { TraceContext } from '../trace-context/trace-context.ts'

/**
 * A stored message: one line of JSON, which is the message as pop returns it less what pop adds. The field order is
 * part of the format: `transactionId` first (it is found without parsing), `data` last (so is the payload).
 * `traceparent` and `tracestate` stand before it, of a message that is part of a trace.
 */
const HEAD = '{"transactionId":'
// Of a message without a trace id whose producer is not known.
const ANONYMOUS = ',"traceId":null,"producerSub":null,"data":'
const DATA_KEY = ',"data":'
const TRACEPARENT_KEY = ',"traceparent":"'
const TRACEPARENT_CHARACTERS = 55

/** The trace context of a message as fields of its line; see messageLine. */
export function contextFields (context: TraceContext | null): string {
  if (context === null) return ''
  const { traceparent, tracestate } = context
  return TRACEPARENT_KEY + traceparent + (tracestate === null ? '"' : '","tracestate":' + JSON.stringify(tracestate))
}

/**
 * Builds a line. `transactionId` and the others are JSON texts already; the payload holds no raw line break.
 * @param context what contextFields has made of the message's trace context, if it has one
 */
export function messageLine (transactionId: string, traceId: string | null, producerSub: string | null, payload: string, context = ''): string {
  // Few pieces: each is copied by itself when lines are put together.
  if (traceId === null && producerSub === null && context === '') return HEAD + transactionId + ANONYMOUS + payload + '}'
  return HEAD + transactionId + ',"traceId":' + (traceId === null ? 'null' : `"${traceId}"`) +
    ',"producerSub":' + (producerSub === null ? 'null' : JSON.stringify(producerSub)) + context + DATA_KEY + payload + '}'
}

/** The `traceparent` of a line; null when it has none. */
export function traceparentOf (line: string): string | null {
  // Within texts quotes are escaped: the first of these keys that stands before the data is the real one.
  const head = line.slice(0, line.indexOf(DATA_KEY))
  const at = head.indexOf(TRACEPARENT_KEY)
  return at < 0 ? null : head.slice(at + TRACEPARENT_KEY.length, at + TRACEPARENT_KEY.length + TRACEPARENT_CHARACTERS)
}

/** The transaction id of a line, as its JSON text (quotes and escapes included). */
export function transactionIdOf (line: string): string {
  let end = HEAD.length + 1
  for (;;) {
    end = line.indexOf('"', end)
    // A quote behind an odd number of backslashes is part of the id.
    let escapes = 0
    while (line.charCodeAt(end - 1 - escapes) === 0x5c) escapes++
    end++
    if (escapes % 2 === 0) return line.slice(HEAD.length, end)
  }
}

/**
 * Where the transaction id of the line at `offset` of a text ends, if it is this one.
 * @param transactionId the id itself, not as JSON text
 * @returns null when the line is about another id
 */
export function endOfId (text: string, offset: number, transactionId: string): number | null {
  const from = offset + HEAD.length
  if (standsAsItIs(transactionId)) {
    const end = from + 1 + transactionId.length
    return text.charCodeAt(from) === 0x22 && text.charCodeAt(end) === 0x22 && text.slice(from + 1, end) === transactionId ? end + 1 : null
  }
  const idText = JSON.stringify(transactionId)
  return text.startsWith(idText, from) ? from + idText.length : null
}
