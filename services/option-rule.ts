/** What an option may be: its environment variable, default, bounds and meaning. */
export type Rule =
  | { env: string, overriddenBy?: string, default: number | undefined, min: number, max: number, unit?: string, doc: string }
  | { env: string, default: boolean, doc: string }
  | { env: string, default: string | undefined, pattern?: RegExp, oneOf?: readonly string[], hint?: string, check?: (text: string) => string | null, doc: string }
