import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import type { LogLevel } from '../logging/levels.ts'
import type { ProcessReport } from '../metrics/process-report.ts'
import type { Log } from '../queue/types.ts'
import { isAboutBuffer } from '../shared-buffer/messages.ts'
import type { ToKeeper } from '../shared-buffer/messages.ts'
import type { BufferKeeper, Member } from '../shared-buffer/keeper.ts'
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts'

export interface WorkersOptions {
  count: number
  startOf: (number: number) => WorkerStart
  /** Null: there is no file buffer. */
  keeper: BufferKeeper | null
  log: Log
}

// One that ends sooner than this after its start is replaced after a pause, which grows.
const STABLE_MS = 5000
const SHORTEST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
// A scraper waits ten seconds by default.
const REPORT_MS = 1000

/** The processes that serve a server's requests on one port. One that ends without being told to is replaced. */
export class Workers {
  readonly #options: WorkersOptions
  readonly #running = new Set<Worker>()
  readonly #pauses = new Set<NodeJS.Timeout>()
  /** How often in a row a worker has ended soon after its start. */
  readonly #failures = new Map<number, number>()
  /** Those who wait for a report. */
  readonly #asked = new Map<number, (report: ProcessReport) => void>()
  #lastAsked = 0
  #isStopping = false
  #onEmpty: () => void = () => {}

  constructor (options: WorkersOptions) {
    this.#options = options
    // Buffers go from process to process as they are.
    cluster.setupPrimary({ serialization: 'advanced' })
  }

  /** Resolves with the port when all of them listen. @throws Error what kept the first from it; its message is for the operator */
  async start (): Promise<number> {
    const numbers = Array.from({ length: this.#options.count }, (_, i) => i + 1)
    const ports = await Promise.all(numbers.map(async number => await new Promise<number>((resolve, reject) => { this.#fork(number, resolve, reject) })))
    return ports[0] ?? 0
  }

  /** The figures of those that answer soon. */
  async reports (): Promise<ProcessReport[]> {
    const reports = await Promise.all([...this.#running].map(async worker => await this.#reportOf(worker)))
    return reports.filter(report => report !== null)
  }

  /** Tell all from which level on they log; those that start later are started with it. */
  setLogLevel (level: LogLevel): void {
    for (const worker of this.#running) send(worker, { kind: 'log-level', level })
  }

  /** Tell all to finish what they have begun and to end; resolves when they have, after `timeoutMs` at the latest. */
  async stop (timeoutMs: number): Promise<void> {
    this.#isStopping = true
    for (const pause of this.#pauses) clearTimeout(pause)
    if (this.#running.size === 0) return
    const ended = new Promise<void>(resolve => { this.#onEmpty = resolve })
    for (const worker of this.#running) send(worker, { kind: 'stop' })
    const timer = setTimeout(() => {
      this.#options.log.error({ workers: this.#running.size }, 'workers did not end in time and are killed')
      for (const worker of this.#running) worker.process.kill('SIGKILL')
    }, timeoutMs)
    await ended
    clearTimeout(timer)
  }

  async #reportOf (worker: Worker): Promise<ProcessReport | null> {
    const id = ++this.#lastAsked
    const report = await new Promise<ProcessReport | null>(resolve => {
      const timer = setTimeout(() => { resolve(null) }, REPORT_MS)
      this.#asked.set(id, answer => {
        clearTimeout(timer)
        resolve(answer)
      })
      send(worker, { kind: 'report', id })
    })
    this.#asked.delete(id)
    return report
  }

  #fork (number: number, listening: (port: number) => void = () => {}, failed: (error: Error) => void = () => {}): void {
    const { startOf, keeper, log } = this.#options
    const startedAt = performance.now()
    let worker: Worker
    try {
      worker = cluster.fork()
    } catch (error) {
      failed(error as Error)
      this.#replace(number, startedAt, { err: error })
      return
    }
    const member: Member = {
      send: message => { send(worker, message) },
      expel: () => { worker.process.kill('SIGKILL') }
    }
    this.#running.add(worker)
    let hasEnded = false
    const ended = (why: string, fields: object): void => {
      if (hasEnded) return
      hasEnded = true
      this.#running.delete(worker)
      keeper?.leave(member)
      failed(new Error(`worker ${number} ended before it listened (${why})`))
      this.#replace(number, startedAt, { pid: worker.process.pid, ...fields })
    }
    worker.on('message', (message: FromWorker | ToKeeper) => {
      // What it has said before it ended may be read after that.
      if (hasEnded) return
      if (isAboutBuffer(message)) {
        keeper?.receive(member, message as ToKeeper)
      } else if (message.kind === 'hello') {
        // It hears of the stop only now if it was told before it listened.
        send(worker, this.#isStopping ? { kind: 'stop' } : { kind: 'start', start: startOf(number) })
      } else if (message.kind === 'listening') {
        listening(message.port)
      } else if (message.kind === 'reported') {
        this.#asked.get(message.id)?.(message.report)
      } else if (message.kind === 'failed') {
        log.error({ worker: number, reason: message.message }, 'a worker could not start')
        failed(new Error(message.message))
      }
    })
    worker.on('error', error => {
      // One that could not be made does not exit. Otherwise its channel failed, a moment before it is said that it has ended.
      if (worker.process.pid === undefined) ended(error.message, { err: error })
      else log.debug({ err: error, worker: number }, 'the channel to a worker failed')
    })
    worker.once('exit', (code, signal) => { ended(signal ?? `exit code ${code}`, { code, signal }) })
  }

  /** One is not there any more. */
  #replace (number: number, startedAt: number, fields: object): void {
    if (this.#isStopping) {
      if (this.#running.size === 0) this.#onEmpty()
      return
    }
    const pauseMs = this.#pauseAfter(number, performance.now() - startedAt)
    this.#options.log.error({ worker: number, ...fields, pauseMs }, 'a worker has ended and is replaced')
    const pause = setTimeout(() => {
      this.#pauses.delete(pause)
      this.#fork(number)
    }, pauseMs)
    this.#pauses.add(pause)
  }

  #pauseAfter (number: number, livedMs: number): number {
    const failures = livedMs > STABLE_MS ? 0 : (this.#failures.get(number) ?? 0) + 1
    this.#failures.set(number, failures)
    return failures === 0 ? 0 : Math.min(SHORTEST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS)
  }
}

/** To a worker that may be gone. */
function send (worker: Worker, message: ToWorker | Parameters<Member['send']>[0]): void {
  // The callback takes the error that would be thrown otherwise; what it means is said by the exit.
  if (worker.isConnected()) worker.send(message, undefined, () => {})
}
