export type EmbeddedPostgresErrorCode =
  | 'RGT_EMBEDDED_UNSUPPORTED'
  | 'RGT_EMBEDDED_IN_USE'
  | 'RGT_EMBEDDED_FAILED'

/** What every function of this folder throws; compare by `code`. */
export class EmbeddedPostgresError extends Error {
  readonly code: EmbeddedPostgresErrorCode

  constructor (code: EmbeddedPostgresErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EmbeddedPostgresError'
    this.code = code
  }
}

/** The `code` of a system error (ENOENT and so on), or undefined for anything else. */
export function systemCode (error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
