import { existsSync, readFileSync } from 'node:fs'

/** The folder of this package's package.json, from the sources as well as from the compiled files. */
export function packageRoot (): URL {
  const above = new URL('../', import.meta.url)
  return existsSync(new URL('package.json', above)) ? above : new URL('../', above)
}

/** The version of this package. */
export function packageVersion (): string {
  return (JSON.parse(readFileSync(new URL('package.json', packageRoot()), 'utf8')) as { version: string }).version
}
