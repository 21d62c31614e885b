import { FieldError } from './field-error.ts'
import { readItem, readItems } from './push-items.ts'
import type { PushItem, PushLimits } from './push-items.ts'
import { JsonReader } from './reader.ts'
import { parseJson } from './parse.ts'

/** One operation of a transaction: a push of items, or an acknowledgement whose fields are still to be read. */
export type Operation =
  | { type: 'push', items: PushItem[] }
  | { type: 'ack', fields: Record<string, unknown> }
  /** Any other type, as its text; null when there was none. */
  | { type: 'unknown', name: string | null }

export interface TransactionBody {
  operations: Operation[]
  requiredLeases: string[]
}

// What an operation adds around a payload: itself, its items array, and the item.
const ENVELOPE_DEPTH = 3

/**
 * Reads a transaction body, keeping payloads as their own text. Operations and flattened push items together are
 * bounded by `limits.maxItems`. Throws FieldError and JsonSyntaxError like readPushBody.
 */
export function readTransactionBody (text: string, limits: PushLimits): TransactionBody {
  const reader = new JsonReader(text, limits.maxDepth + ENVELOPE_DEPTH)
  let operations: Operation[] | null = null
  let requiredLeases: string[] = []
  if (reader.kind() === 'object') {
    reader.enterObject()
    for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) {
      if (key === 'operations' && reader.kind() === 'array') operations = readOperations(reader, limits)
      else if (key === 'requiredLeases') requiredLeases = textsIn(parseJson(reader.rawValue(), limits.maxDepth))
      else {
        if (key === 'operations') operations = null
        reader.skip()
      }
    }
  } else {
    reader.skip()
  }
  reader.end()
  if (operations === null) throw new FieldError('operations', 'required', 'operations array required')
  if (operations.length === 0) throw new FieldError('operations', 'empty', 'operations array cannot be empty')
  return { operations, requiredLeases }
}

function readOperations (reader: JsonReader, limits: PushLimits): Operation[] {
  const operations: Operation[] = []
  let count = 0
  reader.enterArray()
  while (reader.nextElement()) {
    const path = `operations[${operations.length}]`
    if (reader.kind() !== 'object') throw new FieldError(path, 'type', `${path}: must be an object`)
    const operation = readOperation(reader, limits, path)
    count += operation.type === 'push' ? operation.items.length : 1
    if (count > limits.maxItems) {
      throw new FieldError('operations', 'too_many', `operations: At most ${limits.maxItems} operations are allowed`)
    }
    operations.push(operation)
  }
  return operations
}

function readOperation (reader: JsonReader, limits: PushLimits, path: string): Operation {
  const raw = new Map<string, string>()
  reader.enterObject()
  for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) raw.set(key, reader.rawValue())
  const type = valueOf(raw, 'type', limits)
  if (type === 'push') {
    const items = raw.get('items')
    if (items === undefined) {
      // A push without items is an item itself; its payload may be called `data`.
      const payload = raw.get('payload') ?? raw.get('data')
      if (payload !== undefined) raw.set('payload', payload)
      const fields = [...raw].filter(([key]) => key !== 'data').map(([key, value]) => `${JSON.stringify(key)}:${value}`)
      return { type, items: [readItem(new JsonReader(`{${fields.join(',')}}`, limits.maxDepth), path, null, limits.maxDepth, '{}')] }
    }
    const itemsReader = new JsonReader(items, limits.maxDepth)
    if (itemsReader.kind() !== 'array') throw new FieldError(`${path}.items`, 'type', `${path}.items: must be an array`)
    return { type, items: readItems(itemsReader, limits, `${path}.items`, '{}') }
  }
  if (type === 'ack') {
    const names = ['transactionId', 'partitionId', 'status', 'consumerGroup', 'leaseId', 'error']
    return { type, fields: Object.fromEntries(names.map(name => [name, valueOf(raw, name, limits)])) }
  }
  return { type: 'unknown', name: typeof type === 'string' ? type : null }
}

function valueOf (raw: Map<string, string>, name: string, limits: PushLimits): unknown {
  const text = raw.get(name)
  if (text === undefined) return undefined
  // The operation has been read, so it is JSON; only what has levels can have too many.
  return text.startsWith('{') || text.startsWith('[') ? parseJson(text, limits.maxDepth) : JSON.parse(text)
}

function textsIn (value: unknown): string[] {
  return Array.isArray(value) ? value.filter(entry => typeof entry === 'string') : []
}
