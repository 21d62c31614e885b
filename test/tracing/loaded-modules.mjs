// Loaded into a server before it starts: says at its end which packages for traces it has loaded, of those that are no modules
// of the newer kind.
import { createRequire } from 'node:module'

const { cache } = createRequire(import.meta.url)

process.on('exit', () => {
  const packages = new Set(Object.keys(cache).map(path => /node_modules\/(@fastify\/otel|@opentelemetry\/[\w-]+)\//.exec(path)?.[1]).filter(name => name !== undefined))
  process.stderr.write(`loaded: ${[...packages].sort().join(' ')}\n`)
})
