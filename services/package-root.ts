import { existsSync } from 'node:fs'

/** The folder of this package's package.json, from the sources as well as from the compiled files. */
export function packageRoot (): URL {
  const above = new URL('../', import.meta.url)
  return existsSync(new URL('package.json', above)) ? above : new URL('../', above)
}
