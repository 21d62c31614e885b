// What a server process has logged, read as whoever collects logs does.
import type { ServerProcess } from '../fixtures/server-process.ts'

export interface LogLine {
  level: number
  msg: string
  reqId?: string
  [field: string]: any
}

export const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const

/** What people are greeted with, which is no log. */
const GREETING = /^$|^ {2}(Regent is ready|Database|Workers|Try it):|^ {4}curl /

/** Every line so far that is not part of the greeting. Throws for one that is no JSON object. */
export function linesOf (server: ServerProcess): LogLine[] {
  const output = server.output()
  // The last line may not be there whole.
  return output.slice(0, output.lastIndexOf('\n') + 1).split('\n').filter(line => !GREETING.test(line)).map(line => {
    const parsed: unknown = line.startsWith('{') ? JSON.parse(line) : null
    if (typeof parsed !== 'object' || parsed === null) throw new Error(`no JSON: ${line}`)
    return parsed as LogLine
  })
}

/** The lines with this message. */
export function linesSaying (server: ServerProcess, message: string | RegExp): LogLine[] {
  return linesOf(server).filter(({ msg }) => typeof message === 'string' ? msg === message : message.test(msg ?? ''))
}
