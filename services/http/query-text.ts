/** A query parameter's text: the first of several counts, and an empty one counts as absent (http-api.md 1.2). */
export function firstText (value: unknown): string | null {
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' && first !== '' ? first : null
}
