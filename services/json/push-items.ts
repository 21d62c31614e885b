import { contextOfFields } from '../trace-context/trace-context.ts'
import type { GivenField, TraceContext } from '../trace-context/trace-context.ts'
import { FieldError, fieldError } from './field-error.ts'
import { checkName, checkUuid, nameFault } from './names.ts'
import { JsonReader, JsonSyntaxError } from './reader.ts'
import { singleLine } from './text.ts'

export interface PushLimits {
  maxItems: number
  /** Nested brackets allowed in a payload, counted from the payload's own root. */
  maxDepth: number
}

export interface PushItem {
  queue: string
  partition: string
  /** The client's own JSON text on one line; the default when the item has no payload. */
  payload: string
  transactionId: string | null
  /** In lower case. */
  traceId: string | null
  /** Only where the item names one of its own. */
  context?: TraceContext
}

const DEFAULT_PARTITION = 'Default'

// The fields of one item before any check. `undefined` is absent, `null` is there but not a string.
interface RawItem {
  queue: string | null | undefined
  partition: string | null | undefined
  transactionId: string | null | undefined
  traceId: string | null | undefined
  /** Made for items that have one of its fields: most have none. */
  trace: { parent: GivenField, state: GivenField } | undefined
  payload: string
}

/**
 * Reads an array of push items. Keys we do not know are validated and dropped; of equal keys the last one counts, as in
 * JSON.parse. Throws FieldError for the first faulty item and JsonSyntaxError for text that is not JSON.
 * @param path where the array stands in the body, for errors
 * @param noPayload the payload of an item that has none
 */
export function readItems (reader: JsonReader, { maxItems, maxDepth }: PushLimits, path: string, noPayload: string): PushItem[] {
  const items: PushItem[] = []
  reader.enterArray()
  while (reader.nextElement()) {
    // Before the item is read: an oversized batch must not cost a walk of all it holds.
    if (items.length >= maxItems) {
      throw new FieldError(path, 'too_many', `${path}: At most ${maxItems} items are allowed`)
    }
    items.push(readItem(reader, path, items.length, maxDepth, noPayload))
  }
  return items
}

/**
 * Reads one push item; see readItems.
 * @param index its place in the array at `path`; null when the item itself stands at `path`
 */
export function readItem (reader: JsonReader, path: string, index: number | null, maxDepth: number, noPayload: string): PushItem {
  if (reader.kind() !== 'object') throw notAString(pathOf(path, index, 'queue'), 'type')
  const raw: RawItem = {
    queue: undefined, partition: undefined, transactionId: undefined, traceId: undefined, trace: undefined, payload: noPayload
  }
  reader.enterObject()
  for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) {
    switch (key) {
      // One assignment per case: `raw[key]` would make V8 hash every key it has just cut.
      case 'queue': raw.queue = readText(reader); break
      case 'partition': raw.partition = readText(reader); break
      case 'payload': raw.payload = readPayload(reader, path, index, maxDepth); break
      case 'transactionId': raw.transactionId = readText(reader); break
      case 'traceId': raw.traceId = readText(reader); break
      case 'traceparent': traceOf(raw).parent = readOptionalText(reader); break
      case 'tracestate': traceOf(raw).state = readOptionalText(reader); break
      default: reader.skip()
    }
  }
  return checkItem(raw, path, index)
}

function readText (reader: JsonReader): string | null {
  return reader.kind() === 'string' ? reader.string() : skipValue(reader)
}

function traceOf (raw: RawItem): { parent: GivenField, state: GivenField } {
  raw.trace ??= { parent: undefined, state: undefined }
  return raw.trace
}

/** Libraries send null where no trace is under way. */
function readOptionalText (reader: JsonReader): GivenField {
  if (reader.kind() !== 'null') return readText(reader)
  reader.skip()
  return undefined
}

function readPayload (reader: JsonReader, path: string, index: number | null, maxDepth: number): string {
  try {
    const text = reader.rawValue()
    return reader.isPlain ? text : singleLine(text)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError) || error.code !== 'depth') throw error
    const refusal = fieldError(pathOf(path, index, 'payload'), 'depth', `must not be nested deeper than ${maxDepth} levels`)
    refusal.cause = error
    throw refusal
  }
}

// Checks wait for the whole item, since a later duplicate key may replace a faulty value. Their order
// is the wire contract: a client that breaks two rules always hears of the same one.
function checkItem (raw: RawItem, path: string, index: number | null): PushItem {
  const partition = raw.partition === undefined ? DEFAULT_PARTITION : checkedName(raw.partition, path, index, 'partition')
  if (raw.queue === undefined) throw notAString(pathOf(path, index, 'queue'), 'required')
  const queue = checkedName(raw.queue, path, index, 'queue')
  const transactionId = isBlank(raw.transactionId) ? null : checkedName(raw.transactionId, path, index, 'transactionId')
  const traceId = isBlank(raw.traceId) ? null : checkedUuid(raw.traceId, path, index)
  const item: PushItem = { queue, partition, payload: raw.payload, transactionId, traceId }
  if (raw.trace !== undefined) {
    const context = contextOfFields(raw.trace.parent, raw.trace.state, name => pathOf(path, index, name))
    if (context !== undefined) item.context = context
  }
  return item
}

function isBlank (value: string | null | undefined): value is undefined | '' {
  return value === undefined || value === ''
}

// Takes index and name apart: the path is built on a fault only, hundreds per body would show.
function checkedName (value: string | null, path: string, index: number | null, name: string): string {
  if (value === null) throw notAString(pathOf(path, index, name), 'type')
  if (nameFault(value) !== null) checkName(value, pathOf(path, index, name))
  return value
}

function checkedUuid (value: string | null, path: string, index: number | null): string {
  if (value === null) throw notAString(pathOf(path, index, 'traceId'), 'type')
  return checkUuid(value, pathOf(path, index, 'traceId'))
}

function notAString (field: string, reason: 'required' | 'type'): FieldError {
  return fieldError(field, reason, 'must be a string')
}

function pathOf (path: string, index: number | null, name: string): string {
  return index === null ? `${path}.${name}` : `${path}[${index}].${name}`
}

function skipValue (reader: JsonReader): null {
  reader.skip()
  return null
}
