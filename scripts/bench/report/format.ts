/** How figures are written; null, what could not be seen, is n/a. */

const MB = 1024 * 1024
export const NOT_SEEN = 'n/a'

/** 107 629 */
export function count (value: number | null): string {
  return value === null ? NOT_SEEN : Math.round(value).toLocaleString('en').replaceAll(',', ' ')
}

/** Three significant digits, at most two decimals: 0.42, 12.3, 345 */
export function short (value: number | null): string {
  if (value === null) return NOT_SEEN
  const size = Math.abs(value)
  if (size === 0 || size >= 0.1) return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
  return value.toPrecision(2)
}

export const ms = short
export const times = short

export function percent (share: number | null): string {
  return share === null ? NOT_SEEN : `${Math.round(share * 100)} %`
}

export function megabytes (bytes: number | null): string {
  return bytes === null ? NOT_SEEN : `${Math.round(bytes / MB)} MB`
}

/** A table of Markdown: the first column to the left, the others to the right. */
export function markdownTable ([head = [], ...body]: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map((_, i) => i === 0 ? '---' : '---:')), ...body.map(line)].join('\n')
}

/** The same for a terminal. */
export function plainTable (rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  return rows.map(row => row.map((cell, i) => i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)).join('  ').trimEnd()).join('\n')
}
