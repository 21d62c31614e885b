/** Rows as the API shows them: `push_messages` of the database is `pushMessages` there. Holds for what is nested too. */
export function wireRows<T> (value: T): T {
  return camelised(value) as T
}

function camelised (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelised)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) =>
    [name.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase()), camelised(inner)]))
}
