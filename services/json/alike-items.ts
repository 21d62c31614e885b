import { JsonSyntaxError } from './json-syntax-error.ts'
import { parseJson } from './parse.ts'
import { NOT_PLAIN } from './scan.ts'

/** Neighbours in an array that differ in nothing but one text: the fields of the first, and that text of each. */
export interface AlikeItems { fields: Readonly<Record<string, unknown>>, texts: string[] }

/** A body without its array, and the array's elements. */
export interface AlikeBody { rest: Readonly<Record<string, unknown>>, items: AlikeItems[], count: number }

const BLANKS = /[ \t\n\r]*/y
// One object without objects, arrays and escapes in it; whether it is JSON is for JSON.parse to say.
const FLAT_OBJECT = /\{[^{}[\]\\]*\}/y
// Of runs shorter than this on average, parsing the whole costs less.
const WORTH_IT = 4
const RUNS_TRIED = 8

/**
 * Reads `{"<key>": [{…}, {…}], …}` where runs of elements are the same, character by character, but for the text under
 * `field`, as programs write them: an element then costs the search for its end. It reads exactly what JSON.parse does.
 * @param maxDepth of the body
 * @returns null when the body is not of that kind, or none at all: it is to be parsed then
 */
export function readAlikeItems (text: string, key: string, field: string, maxDepth: number): AlikeBody | null {
  let at = 0
  for (const token of ['{', `"${key}"`, ':', '[']) {
    at = skipBlanks(text, at)
    if (!text.startsWith(token, at)) return null
    at += token.length
  }
  const items: AlikeItems[] = []
  let count = 0
  at = skipBlanks(text, at)
  while (text[at] === '{') {
    const run = readRun(text, at, field)
    if (run === null) return null
    items.push(run.items)
    count += run.items.texts.length
    if (items.length >= RUNS_TRIED && count < items.length * WORTH_IT) return null
    at = skipBlanks(text, run.end)
    if (text[at] !== ',') break
    at = skipBlanks(text, at + 1)
    if (text[at] !== '{') return null
  }
  if (text[at] !== ']') return null
  at = skipBlanks(text, at + 1)
  if (text[at] === ',') {
    at = skipBlanks(text, at + 1)
    if (text[at] !== '"') return null
  } else if (text[at] !== '}') return null
  const rest = parsed('{' + text.slice(at), maxDepth)
  // The same key once more: what comes last counts.
  return rest === null || Object.hasOwn(rest, key) ? null : { rest, items, count }
}

/** A run of elements from `start` on, and where it ends. */
function readRun (text: string, start: number, field: string): { items: AlikeItems, end: number } | null {
  FLAT_OBJECT.lastIndex = start
  const first = FLAT_OBJECT.exec(text)?.[0]
  const fields = first === undefined ? null : parsed(first, 1)
  const value = fields?.[field]
  if (first === undefined || fields === null || typeof value !== 'string') return null
  const quoted = `"${field}"`
  const named = first.indexOf(quoted)
  const from = first.indexOf('"', first.indexOf(':', named + quoted.length)) + 1
  // Named twice: the last one counts, and may be another. Where it is there once, it is the name: no escapes, and its value was found.
  if (first.indexOf(quoted, named + 1) !== -1) return null
  let end = start + first.length
  const texts = [value]
  const tail = first.slice(from + value.length)
  const next = skipBlanks(text, end)
  if (text[next] !== ',') return { items: { fields, texts }, end }
  // From the end of one text to the beginning of the next.
  const between = tail + text.slice(end, skipBlanks(text, next + 1)) + first.slice(0, from)
  let at = start + from + value.length
  // A comparison of whole texts costs a fraction of what startsWith does.
  while (text.slice(at, at + between.length) === between) {
    const begin = at + between.length
    const close = text.indexOf('"', begin)
    if (close === -1 || text.slice(close, close + tail.length) !== tail) break
    const own = text.slice(begin, close)
    if (NOT_PLAIN.test(own)) break
    texts.push(own)
    at = close
    end = close + tail.length
  }
  return { items: { fields, texts }, end }
}

function skipBlanks (text: string, from: number): number {
  BLANKS.lastIndex = from
  BLANKS.exec(text)
  return BLANKS.lastIndex
}

/** A text as an object; null when it is none. */
function parsed (text: string, maxDepth: number): Record<string, unknown> | null {
  try {
    const value = parseJson(text, maxDepth)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : null
  } catch (error) {
    if (error instanceof JsonSyntaxError) return null
    throw error
  }
}
