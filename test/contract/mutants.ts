import { isWellFormed } from '../../services/json/text.ts'
import type { Contract, Operation, Schema } from './contract.ts'
import type { Example } from './examples.ts'

/** A request that differs from a good one in one place. */
export interface Mutant extends Example {
  /** Where, as errors name it: without the places in arrays. */
  field: string
  label: string
}

const JSON_VALUES: readonly unknown[] = [null, true, 5, 1.5, 'text', '', [], {}, ['text']]
const TEXTS = ['', 'text', '-1', '2026-01-31']
// Each is tried with everything that is tried for one.
const COMBINATIONS = ['anyOf', 'oneOf', 'allOf'] as const

/** What an operation says of one request: whether it is one that the service takes. */
export function isDescribed (contract: Contract, operation: Operation, { params = {}, query = {}, body }: Example): boolean {
  const given = (parameter: Operation['parameters'][number]): string | undefined => (parameter.in === 'path' ? params : query)[parameter.name]
  const areParametersGood = operation.parameters.every(parameter => {
    const value = given(parameter)
    return value === undefined ? !parameter.required : contract.accepts(parameter.schema, value)
  })
  const { requestBody } = operation
  if (!areParametersGood || requestBody === undefined) return areParametersGood
  if (body === undefined) return !requestBody.required
  const schema = requestBody.content['application/json']?.schema
  return schema === undefined || contract.accepts(schema, body)
}

/** Requests made of a good one and of what the operation says about each part of it. */
export function * mutantsOf (operation: Operation, example: Example): Generator<Mutant> {
  for (const { in: place, name, schema } of operation.parameters) {
    const part = place === 'path' ? 'params' : 'query'
    for (const text of textsFor(schema)) {
      // Nothing in a place of a path makes it another path.
      if (part === 'params' && text === '') continue
      yield { ...example, [part]: { ...example[part], [name]: text }, field: name, label: `${name}=${JSON.stringify(text).slice(0, 40)}` }
    }
    if (part === 'query') yield { ...example, query: without(example.query ?? {}, name), field: name, label: `without ${name}` }
  }
  const schema = operation.requestBody?.content['application/json']?.schema
  if (schema === undefined) return
  yield { ...example, body: undefined, field: '', label: 'without a body' }
  for (const { value, field, label } of valuesFor(schema, example.body, '')) yield { ...example, body: value, field, label }
}

interface Changed { value: unknown, field: string, label: string }

/** The value with one thing in it changed. */
function * valuesFor (schema: Schema, value: unknown, field: string): Generator<Changed> {
  for (const candidate of [...JSON_VALUES, ...atBounds(schema, value)]) yield { value: candidate, field, label: `${field}: ${(JSON.stringify(candidate) ?? '').slice(0, 60)}` }
  if (Array.isArray(value)) {
    const items = itemsOf(schema)
    if (items === undefined || value.length === 0) return
    for (const [i, one] of value.entries()) {
      for (const changed of valuesFor(items, one, `${field}[${i}]`)) yield { ...changed, value: value.with(i, changed.value) }
    }
  } else if (typeof value === 'object' && value !== null) {
    yield { value: { ...value, unheardOf: 1 }, field, label: `${field}: with a field that is not known` }
    for (const [name, property] of propertiesOf(schema)) {
      const path = field === '' ? name : `${field}.${name}`
      if (!(name in value)) continue
      yield { value: without(value as Record<string, unknown>, name), field: path, label: `without ${path}` }
      for (const changed of valuesFor(property, (value as Record<string, unknown>)[name], path)) yield { ...changed, value: { ...value, [name]: changed.value } }
    }
  }
}

/** Such as can stand in a URL: half of a surrogate pair has no UTF-8. */
function textsFor (schema: Schema): string[] {
  return [...new Set([...TEXTS, ...atBounds(schema, '').filter(value => typeof value === 'string').filter(isWellFormed)])]
}

/** At each bound that the schema has, and just beyond it. */
function atBounds (schema: Schema, value: unknown): unknown[] {
  const { minimum, maximum, maxLength, maxItems, enum: words, format } = schema
  const values: unknown[] = COMBINATIONS.flatMap(key => (schema[key] as Schema[] | undefined ?? []).flatMap(part => atBounds(part, value)))
  if (minimum !== undefined) values.push(minimum, minimum - 1, String(minimum))
  if (maximum !== undefined) values.push(maximum, maximum + 1)
  if (maxLength !== undefined) values.push('x'.repeat(maxLength), 'x'.repeat(maxLength + 1), 'a\0b', 'a\ud800', '😀'.repeat(maxLength))
  if (maxItems !== undefined && Array.isArray(value)) values.push(Array(maxItems).fill(value[0]), Array(maxItems + 1).fill(value[0]))
  if (words !== undefined) values.push(words.at(-1))
  if (format === 'uuid') values.push('00000000-0000-0000-0000-000000000000', 'ABCDEF00-0001-8000-8000-000000000000', 'ABCDEF00-0001-8000-8000-00000000000')
  return values
}

function itemsOf (schema: Schema): Schema | undefined {
  const all = [schema.items as Schema | undefined, ...COMBINATIONS.flatMap(key => (schema[key] as Schema[] | undefined ?? []).map(itemsOf))].filter(items => items !== undefined)
  return all.length < 2 ? all[0] : { anyOf: all }
}

function propertiesOf (schema: Schema): [string, Schema][] {
  const own = Object.entries(schema.properties as Record<string, Schema> | undefined ?? {})
  return [...own, ...COMBINATIONS.flatMap(key => (schema[key] as Schema[] | undefined ?? []).flatMap(propertiesOf))]
}

function without<Value extends Record<string, unknown>> (value: Value, name: string): Value {
  const { [name]: _gone, ...rest } = value
  return rest as Value // but for a field that may always be missing here
}
