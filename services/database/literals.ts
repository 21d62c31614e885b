/**
 * PostgreSQL array literals as text. Parameters go out as one text value each and are cast in the statement
 * (`${x}::text::bigint[]`): the driver's own arrays need type look-ups and mishandle NULL.
 */

/** Numbers, and anything else whose text needs no quoting (UUIDs, booleans as `t`/`f`); null becomes NULL. */
export function plainArray (values: readonly (number | string | null)[]): string {
  let out = '{'
  for (let i = 0; i < values.length; i++) {
    if (i > 0) out += ','
    out += values[i] ?? 'NULL'
  }
  return out + '}'
}

/** Any text; null becomes NULL. The text must not contain NUL. */
export function textArray (values: readonly (string | null)[]): string {
  return '{' + values.map(value => value === null ? 'NULL' : '"' + value.replace(/["\\]/g, '\\$&') + '"').join(',') + '}'
}

/** Joins texts that cannot contain it raw (JSON cannot). The SQL functions split at the same character. */
export const SEPARATOR = '\u001e'
