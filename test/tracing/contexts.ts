// Trace contexts as clients send them, well-formed and not.

export const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'

/** A traceparent of its own for each number. */
export function traceparent (n: number): string {
  return `00-${TRACE_ID}-${n.toString(16).padStart(16, '0')}-01`
}

export const PARENT = `00-${TRACE_ID}-00f067aa0ba902b7-01`

/** What nobody may take for a traceparent. */
export const MALFORMED = [
  '', 'x', PARENT.slice(1), PARENT.slice(0, -1), `${PARENT}0`, `${PARENT}-`, `${PARENT}-00`, ` ${PARENT}`, `${PARENT}\n`, `${PARENT}\0`,
  PARENT.toUpperCase(), PARENT.replaceAll('-', '_'), PARENT.replace('4bf9', '4bfg'), PARENT.replace(/^00/, 'ff'), PARENT.replace(/^00/, '0'),
  PARENT.replace(/^00/, '01').slice(0, -1), `${PARENT.replace(/^00/, '01')}.more`, `${PARENT.replace(/^00/, '01')}-line\nbreak`,
  `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `00-${TRACE_ID}-${'0'.repeat(16)}-01`, `${PARENT},${PARENT}`, `00-${'4'.repeat(10_000)}-00f067aa0ba902b7-01`
]
