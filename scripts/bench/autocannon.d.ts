// autocannon ships no types; these are the parts used here.
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'

  interface Request {
    method?: string
    path?: string
    headers?: Record<string, string>
    body?: Buffer
    setupRequest?: (request: Request, context: object) => Request
  }

  interface Options {
    url: string
    connections: number
    /** Seconds. */
    duration: number
    /** Seconds. */
    timeout?: number
    requests: Request[]
    verifyBody?: (body: string) => boolean
  }

  interface Result {
    /** Seconds. */
    duration: number
    errors: number
    timeouts: number
    mismatches: number
  }

  interface Run extends EventEmitter, PromiseLike<Result> {
    on: ((event: 'response', listener: (client: object, status: number, bytes: number, durationMs: number) => void) => this) &
      ((event: string, listener: (...values: never[]) => void) => this)
  }

  function autocannon (options: Options): Run
  export = autocannon
}
