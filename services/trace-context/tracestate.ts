// W3C Trace Context level 2, section 3.3.1: what an entry may look like, how many there may be, and how long they are together.
const ENTRY = /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/
const MOST_ENTRIES = 32
const MOST_CHARACTERS = 512
// Those go first when there is too much (section 3.3.1.5).
const LARGE_ENTRY = 128
const BLANKS = /^[ \t]+|[ \t]+$/g

/**
 * The `tracestate` in a text, bounded to 512 characters by leaving out entries: large ones first, then the last ones. Null
 * when it is none, or nothing is left: then it is not handed on, which the recommendation allows for.
 */
export function readTracestate (text: string): string | null {
  const entries = text.split(',').map(entry => entry.replace(BLANKS, '')).filter(entry => entry !== '')
  if (!entries.every(entry => ENTRY.test(entry))) return null
  let kept = entries.slice(0, MOST_ENTRIES)
  if (lengthOf(kept) > MOST_CHARACTERS) kept = kept.filter(entry => entry.length <= LARGE_ENTRY)
  while (lengthOf(kept) > MOST_CHARACTERS) kept.pop()
  return kept.length === 0 ? null : kept.join(',')
}

function lengthOf (entries: readonly string[]): number {
  return entries.reduce((sum, entry) => sum + entry.length, entries.length - 1)
}
