import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { projectDir } from './fixtures/server-process.ts'

// As an application sees the package: by its name, through the compiled declarations, with everything strict.
const SOURCE = `
import Fastify from 'fastify'
import regent, { RegentError, FieldError, ERRORS } from 'regent'
import type { BufferedPush, EmbeddedQueue, PoppedMessage, PushedMessage, RegentOptions, ErrorCode } from 'regent'

// Names that Regent uses within its own scope are free for the application to declare.
declare module 'fastify' {
  interface FastifyInstance {
    queue: string
    postgres: number
    jobs: EmbeddedQueue
  }
}

const app = Fastify()
await app.register(regent, { prefix: '/mq', databaseUrl: 'postgres://localhost/x', poolSize: 5 })
await app.register(regent, { decorator: 'jobs', databaseHost: '/run/postgresql', databaseSchema: 'jobs' })

const queue: EmbeddedQueue = app.regent
const pushed: (PushedMessage | BufferedPush)[] = await queue.push([{ queue: 'q', payload: { any: ['thing'] } }])
const popped: PoppedMessage[] = await app.jobs.pop({ queue: 'q', waitMs: 10, signal: AbortSignal.timeout(1) })
await queue.ack(popped, 'failed', 'why')
await queue.transaction({ ack: popped, push: [{ queue: 'r', payload: pushed }] })
await queue.configure('q', { leaseTime: 5 }, { namespace: 'n' })
const options: Partial<RegentOptions> = { maxItems: 3 }
const code: ErrorCode = 'RGT_SHUTTING_DOWN'
const status: 503 = ERRORS[code].status
export { options, status, RegentError, FieldError }

// @ts-expect-error not an option
await app.register(regent, { databaseUrl: 'x', databseUrl: 'x' })
// @ts-expect-error of another type
await app.register(regent, { databaseUrl: 'x', poolSize: '5' })
// @ts-expect-error a message needs a queue
await queue.push([{ payload: 1 }])
// @ts-expect-error no such word
await queue.ack(popped, 'done')
// @ts-expect-error no such option
await queue.configure('q', { leaseTme: 5 })
// @ts-expect-error no such way to begin
await queue.pop({ queue: 'q', subscription: { mode: 'newest' } })
// @ts-expect-error what was popped is unknown until it is checked
popped[0].data.n
`

t.test('applications are typed through the package, and mistakes are type errors', async t => {
  const folder = t.testdir({ 'app.ts': SOURCE, 'package.json': '{ "type": "module" }', node_modules: {} })
  symlinkSync(projectDir, join(folder, 'node_modules/regent'))
  for (const name of ['fastify', '@types']) symlinkSync(join(projectDir, 'node_modules', name), join(folder, 'node_modules', name))
  const program = ts.createProgram([join(folder, 'app.ts')], {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    exactOptionalPropertyTypes: true,
    lib: ['lib.es2022.d.ts'],
    skipLibCheck: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')]
  })
  const faults = ts.getPreEmitDiagnostics(program)
  t.same(faults.map(({ file, start, messageText }) => {
    const line = file === undefined || start === undefined ? '' : `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}: `
    return line + ts.flattenDiagnosticMessageText(messageText, '\n')
  }), [])
})
