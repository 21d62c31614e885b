/**
 * A stored message: one line of JSON, which is the message as pop returns it less what pop adds. The field order is
 * part of the format: `transactionId` first (it is found without parsing), `data` last (so is the payload).
 */
const HEAD = '{"transactionId":'
// Of a message without a trace id whose producer is not known.
const ANONYMOUS = ',"traceId":null,"producerSub":null,"data":'

/** Builds a line. `transactionId` and the others are JSON texts already; the payload holds no raw line break. */
export function messageLine (transactionId: string, traceId: string | null, producerSub: string | null, payload: string): string {
  // Few pieces: each is copied by itself when lines are put together.
  if (traceId === null && producerSub === null) return HEAD + transactionId + ANONYMOUS + payload + '}'
  return HEAD + transactionId + ',"traceId":' + (traceId === null ? 'null' : `"${traceId}"`) +
    ',"producerSub":' + (producerSub === null ? 'null' : JSON.stringify(producerSub)) + ',"data":' + payload + '}'
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
