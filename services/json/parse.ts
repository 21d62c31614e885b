import { JsonReader } from './reader.ts'

/**
 * Parses a body that carries no payload. The reader goes first because JSON.parse has no depth limit
 * and quotes the body in its errors. Throws JsonSyntaxError; depth is counted from the body's root.
 *
 * The result is safe to read: JSON.parse creates properties and never assigns them, so a `__proto__`
 * key becomes an own property and changes no prototype. Do not merge the result into another object
 * (`Object.assign`, spread loops that assign): that is where such a key would bite.
 */
export function parseJson (text: string, maxDepth: number): unknown {
  const reader = new JsonReader(text, maxDepth)
  reader.skip()
  reader.end()
  return JSON.parse(text)
}
