import closeWithGrace from 'close-with-grace'

export interface StopLog {
  info: (fields: object | string, message?: string) => void
  fatal: (fields: object, message: string) => void
}

// ^C reaches a process twice when npm runs it: from the terminal and from npm. What comes later is meant.
const SAME_SIGNAL_MS = 1000

/**
 * Ends the process when it is told to or after an unexpected error: once, in order, with exit code 0 or 1.
 * @param timeoutMs most time for `finish`
 * @returns `stop` does the same for a failure found otherwise, or without one
 */
export function stopOnSignal (log: StopLog, timeoutMs: number, finish: () => Promise<void>): { stop: (failure?: Error) => void, isStopping: () => boolean } {
  let stoppedAt: number | null = null
  let failure: Error | null = null

  const grace = closeWithGrace({
    delay: timeoutMs,
    logger: false,
    skip: ['SIGINT', 'SIGTERM'],
    onTimeout: () => { log.fatal({ timeoutMs }, 'stopping took longer than SHUTDOWN_TIMEOUT and is broken off') },
    onSecondError: error => { log.fatal({ err: error }, 'a second error while stopping') }
  }, async ({ err, signal }) => {
    stoppedAt ??= performance.now()
    failure ??= err ?? null
    if (failure !== null) log.fatal({ err: failure }, 'stopping after an unexpected error')
    else if (signal !== undefined) log.info({ signal }, 'stopping')
    try {
      await finish()
    } catch (error) {
      log.fatal({ err: error }, 'stopping failed')
      throw error
    }
    // Thrown again for the exit code.
    if (failure !== null) throw failure
    log.info('stopped')
  })

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stoppedAt === null) {
        stoppedAt = performance.now()
        log.info({ signal }, 'stopping')
        grace.close()
      } else if (performance.now() - stoppedAt > SAME_SIGNAL_MS) {
        log.fatal({ signal }, 'stopped at once by a second signal')
        process.exit(1)
      }
    })
  }
  return {
    stop: found => {
      if (stoppedAt !== null) return
      stoppedAt = performance.now()
      failure = found ?? null
      grace.close()
    },
    isStopping: () => stoppedAt !== null
  }
}
