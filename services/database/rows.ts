/**
 * The rows of a result, without holes in front of them. The driver goes on counting where a statement before, on the same
 * connection, broke off behind its first rows: the next one's rows are all there, but do not begin at 0.
 */
export function wholeRows<T> (rows: T[]): T[] {
  // A callback is not called for what is not there.
  return rows.length === 0 || 0 in rows ? rows : rows.filter(() => true)
}
