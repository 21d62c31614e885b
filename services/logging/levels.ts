import { RegentError } from '../errors.ts'

/** From the most talkative to none. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

export type LogLevel = typeof LOG_LEVELS[number]

/** A logger whose level can be changed, as pino's. */
export interface LeveledLog {
  level?: string
  info: (fields: object, message: string) => void
}

export function isLogLevel (value: unknown): value is LogLevel {
  return LOG_LEVELS.some(level => level === value)
}

/** The least level that is logged. @throws RegentError RGT_NOT_AVAILABLE: an embedding application may have any logger, or none */
export function levelOf ({ level }: LeveledLog): string {
  if (level === undefined) throw new RegentError('RGT_NOT_AVAILABLE', { detail: 'The logger of this application has no level' })
  return level
}

/** Changes it, and says so while that is still or already logged. @throws RegentError RGT_NOT_AVAILABLE */
export function changeLevel (log: LeveledLog, level: LogLevel): void {
  const before = levelOf(log)
  if (before === level) return
  const say = (): void => { log.info({ logLevel: level, before }, 'the log level was changed') }
  const isQuieter = LOG_LEVELS.indexOf(level) > LOG_LEVELS.findIndex(known => known === before)
  if (isQuieter) say()
  log.level = level
  if (!isQuieter) say()
}
