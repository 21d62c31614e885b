import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { Answer } from '../support.ts'

export type Schema = Readonly<Record<string, any>>

export interface Parameter { in: 'path' | 'query', name: string, required: boolean, schema: Schema }

interface Media { schema?: Schema }

export interface Operation {
  method: string
  /** As OpenAPI has it: with parameters in braces. */
  path: string
  operationId: string
  parameters: Parameter[]
  requestBody?: { required: boolean, content: Record<string, Media> }
  responses: Record<string, { headers?: Record<string, Schema>, content?: Record<string, Media> }>
  'x-regent-access': string
}

const METHODS = ['get', 'put', 'post', 'delete']
const JSON_TYPE = 'application/json'

/** A description of the API that requests and answers are held against. Schemas are compiled when they are first needed. */
export class Contract {
  readonly operations: Operation[]
  /** Of each operation with its status, what was answered, as `operationId status`. */
  readonly seen = new Set<string>()
  readonly #ajv = addFormats.default(new Ajv2020({ strict: true, strictTypes: false, strictRequired: false }))
  readonly #compiled = new Map<Schema, ValidateFunction>()
  readonly #paths: { operation: Operation, pattern: RegExp }[]

  constructor ({ paths, components = {} }: { paths: Record<string, Record<string, any>>, components?: { schemas?: Record<string, Schema> } }) {
    for (const [name, schema] of Object.entries(components.schemas ?? {})) this.#ajv.addSchema(schema, `#/components/schemas/${name}`)
    this.operations = Object.entries(paths).flatMap(([path, methods]) =>
      METHODS.filter(method => Object.hasOwn(methods, method)).map(method => ({ parameters: [], ...methods[method], method: method.toUpperCase(), path })))
    this.#paths = this.operations.map(operation => ({ operation, pattern: new RegExp(`^${operation.path.replace(/\{\w+\}/g, '[^/]+')}$`) }))
      // A name that is written out counts more than one that may be any.
      .sort((one, other) => one.pattern.source.split('[^/]+').length - other.pattern.source.split('[^/]+').length)
  }

  /** The operation that a request is for. @param path without its query */
  operationOf (method: string, path: string): Operation | undefined {
    return this.#paths.find(({ operation, pattern }) => operation.method === method && pattern.test(path))?.operation
  }

  /** What an answer has that is not described, or lacks that is; null: nothing. */
  faultOf (operation: Operation, { status, headers, text, json }: Answer): string | null {
    const response = operation.responses[status]
    if (response === undefined) return `${operation.operationId} answers ${status}: ${text.slice(0, 300)}`
    this.seen.add(`${operation.operationId} ${status}`)
    const label = `${operation.operationId} ${status}`
    const missing = Object.keys(response.headers ?? {}).find(name => !headers.has(name))
    if (missing !== undefined) return `${label}: no ${missing}`
    if (response.content === undefined) return text === '' ? null : `${label}: a body`
    const [type = ''] = (headers.get('content-type') ?? '').split(';')
    const media = response.content[type]
    if (media === undefined) return `${label}: ${type}`
    if (type !== JSON_TYPE) return null
    const fault = this.#check(media.schema ?? {}, json, closed)
    return fault === null ? null : `${label}: ${fault} in ${text.slice(0, 500)}`
  }

  /** Whether the description has nothing against this value. */
  accepts (schema: Schema, value: unknown): boolean {
    return this.#check(schema, value, schema => schema) === null
  }

  #check (schema: Schema, value: unknown, prepare: (schema: Schema) => Schema): string | null {
    const validate = this.#compiled.get(schema) ?? this.#ajv.compile(prepare(schema))
    this.#compiled.set(schema, validate)
    return validate(value) ? null : this.#ajv.errorsText(validate.errors)
  }
}

/** The same for exactly the fields that are named: one that is not is a field that nobody has described. */
function closed (schema: Schema): Schema {
  const copy: Record<string, any> = {}
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') copy[key] = Object.fromEntries(Object.entries(value as Record<string, Schema>).map(([name, property]) => [name, closed(property)]))
    else if (key === 'items' || (key === 'additionalProperties' && typeof value === 'object')) copy[key] = closed(value)
    else if (key === 'oneOf' || key === 'anyOf') copy[key] = value.map(closed)
    else copy[key] = value
  }
  // What all of several say together is described.
  if (copy.allOf !== undefined) copy.unevaluatedProperties = false
  else if (copy.properties !== undefined) copy.additionalProperties ??= false
  return copy
}
