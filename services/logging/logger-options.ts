import { hostname } from 'node:os'
import { errorLine } from './error-line.ts'

// JSON escapes what is below a blank. These end a line too, or control a terminal, for some who read logs.
const UNESCAPED = /[\u007f-\u009f\u2028\u2029]/g

/** How errors and requests are logged, wherever that is done: without what callers have sent. */
export const serializers = {
  err: errorLine,
  req: ({ method = '', routeOptions }: { method?: string | undefined, routeOptions?: { url?: string | undefined } }) => ({ method, route: routeOptions?.url })
}

/**
 * The logger of `npm start`, as pino's options: one line of JSON for each event.
 * @param worker the number of a process that is one of several
 */
export function loggerOptions (level: string, worker?: number) {
  return {
    level,
    serializers,
    // Nothing logs headers. Should something begin to, these stay out.
    redact: { paths: ['authorization', 'cookie', '*.authorization', '*.cookie', '*["set-cookie"]', '*.headers', 'headers'], censor: '***' },
    hooks: { streamWrite: escaped },
    ...(worker === undefined ? {} : { base: { pid: process.pid, hostname: hostname(), worker } })
  }
}

function escaped (line: string): string {
  return line.replace(UNESCAPED, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
