import { FieldError } from './field-error.ts'
import { readItems } from './push-items.ts'
import type { PushItem, PushLimits } from './push-items.ts'
import { JsonReader } from './reader.ts'

export type { PushItem, PushLimits } from './push-items.ts'

export interface PushBody {
  items: PushItem[]
}

/**
 * Reads a push body in one pass. Throws FieldError for a value we refuse and JsonSyntaxError for text
 * that is not JSON, whichever comes first: what stands after the first faulty item is not looked at.
 */
export function readPushBody (text: string, limits: PushLimits): PushBody {
  const reader = new JsonReader(text, limits.maxDepth)
  let items: PushItem[] | null = null
  if (reader.kind() === 'object') {
    reader.enterObject()
    for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) {
      if (key === 'items' && reader.kind() === 'array') {
        items = readItems(reader, limits, 'items', 'null')
      } else {
        if (key === 'items') items = null
        reader.skip()
      }
    }
  } else {
    reader.skip()
  }
  reader.end()
  if (items === null) throw new FieldError('items', 'required', 'items array is required')
  return { items }
}
