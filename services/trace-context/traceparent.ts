// Version, trace id, parent id, flags: W3C Trace Context level 2, section 3.2. Only versions after 00 may have more behind them.
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/
const LENGTH = 55
const INVALID_VERSION = 'ff'
const NO_TRACE = '0'.repeat(32)
const NO_PARENT = '0'.repeat(16)
// Sampled and random: all that level 2 knows of.
const KNOWN_FLAGS = 0x03

/**
 * The `traceparent` in a text; null when it is none. One of a later version is taken for what it says in the terms of version
 * 00 and becomes one (section 4.3), so the result always has 55 characters.
 */
export function readTraceparent (text: string): string | null {
  const [, version, traceId, parentId, flags = ''] = TRACEPARENT.exec(text) ?? []
  if (version === undefined || version === INVALID_VERSION || traceId === NO_TRACE || parentId === NO_PARENT) return null
  if (version === '00') return text.length === LENGTH ? text : null
  const known = Number.parseInt(flags, 16) & KNOWN_FLAGS
  return `00-${traceId}-${parentId}-0${known}`
}
