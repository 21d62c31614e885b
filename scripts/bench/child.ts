import { fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Job, LoadResult, Step } from './jobs.ts'

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 15_000
const STDERR_CHARACTERS = 4000

export interface HttpServer {
  url: string
  pid: number
  /** Rejects when the process ends without having been asked to. */
  failed: Promise<never>
  stop (): Promise<void>
}

/** Starts a script that prints its URL when it listens, and waits for that. Paths are relative to this module. */
export async function startServer (script: string, env: Record<string, string>, nodeArguments: string[] = []): Promise<HttpServer> {
  const child = spawn(process.execPath, [...nodeArguments, fileURLToPath(new URL(script, import.meta.url))], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its own session: a terminal's ^C reaches only the runner, which stops things in order.
    detached: true
  })
  let output = ''
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => { errors = (errors + chunk.toString()).slice(-STDERR_CHARACTERS) })
  let isStopping = false
  const failed = once(child, 'exit').then(([code, signal]) => {
    if (!isStopping) throw new Error(`${script} ended by itself (${code ?? signal}): ${errors}${output.slice(-STDERR_CHARACTERS)}`)
    return new Promise<never>(() => {})
  })
  failed.catch(() => {})
  const stop = async (): Promise<void> => {
    isStopping = true
    await end(child)
  }
  const ready = new Promise<string>(resolve => {
    child.stdout.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-STDERR_CHARACTERS)
      const url = /https?:\/\/\S+:\d+/.exec(output)?.[0]
      if (url !== undefined) resolve(url)
    })
  })
  try {
    return { url: await withDeadline(Promise.race([ready, failed]), `${script} did not start`), pid: child.pid ?? 0, failed, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export interface Generator {
  pid: number
  /** @param around called when everything is open and the load is about to begin, and when it is over and all is still open */
  perform (job: Job, around?: { before: () => Promise<void>, after: () => Promise<void> }): Promise<LoadResult>
  stop (): Promise<void>
}

export function startGenerator (): Generator {
  const child = fork(fileURLToPath(new URL('generator.js', import.meta.url)))
  const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`the load generator ended (${code ?? signal})`) })
  ended.catch(() => {})
  async function ask (message: Job | Step): Promise<{ result?: LoadResult }> {
    const answered = once(child, 'message')
    child.send(message)
    const [answer] = await Promise.race([answered, ended]) as [{ result?: LoadResult, error?: string }] // what generator.ts sends
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }
  return {
    pid: child.pid ?? 0,
    async perform (job, around) {
      await ask(job)
      await around?.before()
      const { result } = await ask({ kind: 'begin' })
      await around?.after()
      await ask({ kind: 'end' })
      if (result === undefined) throw new Error('the load generator answered without a result')
      return result
    },
    async stop () { await end(child) }
  }
}

async function end (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => { child.kill('SIGKILL') }, STOP_TIMEOUT_MS)
  await exited
  clearTimeout(timer)
}

async function withDeadline<T> (promise: Promise<T>, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => { reject(new Error(message)) }, START_TIMEOUT_MS) })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
