import cluster from 'node:cluster'
import type { ProcessReport } from '../metrics/process-report.ts'
import { isAboutBuffer } from '../shared-buffer/messages.ts'
import type { FromKeeper, ToKeeper } from '../shared-buffer/messages.ts'
import type { LogLevel } from '../logging/levels.ts'
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts'
import type { BufferLink } from './role.ts'

/** The main process, as a worker reaches it. */
export class MainProcess {
  /** Told to finish. */
  onStop: () => void = () => {}
  /** It is gone, and with it the file buffer. */
  onGone: () => void = () => {}
  readonly buffer: BufferLink = {
    send: message => { this.#send(message) },
    onMessage: () => {},
    onLost: () => {}
  }

  /** Answers it when it asks for the figures of this process. */
  report: (() => ProcessReport) | null = null
  #onStart: (start: WorkerStart | null) => void = () => {}
  // Kept until somebody follows: it may come right behind the start.
  #logLevel: LogLevel | null = null
  #onLogLevel: (level: LogLevel) => void = level => { this.#logLevel = level }

  constructor () {
    // Else node:cluster ends this process at once when the main one is gone, with all that it has begun.
    if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
    process.on('message', (message: ToWorker | FromKeeper) => {
      if (isAboutBuffer(message)) this.buffer.onMessage(message as FromKeeper)
      else if (message.kind === 'start') this.#onStart(message.start)
      else if (message.kind === 'stop') this.#stop()
      else if (message.kind === 'log-level') this.#onLogLevel(message.level)
      else if (message.kind === 'report' && this.report !== null) this.#send({ kind: 'reported', id: message.id, report: this.report() })
    })
    process.once('disconnect', () => {
      this.#onStart(null)
      this.buffer.onLost()
      this.onGone()
    })
  }

  /** What to start with; null: it is not to start any more. */
  async hello (): Promise<WorkerStart | null> {
    return await new Promise(resolve => {
      this.#onStart = resolve
      this.#send({ kind: 'hello' })
    })
  }

  /** Calls `set` with every level that is to be logged from then on. */
  followLogLevel (set: (level: LogLevel) => void): void {
    this.#onLogLevel = set
    if (this.#logLevel !== null) set(this.#logLevel)
  }

  listening (port: number): void {
    this.#send({ kind: 'listening', port })
  }

  /** Say why there is nothing to start; resolves when it was said. */
  async failed (message: string): Promise<void> {
    await new Promise<void>(resolve => { this.#send({ kind: 'failed', message }, resolve) })
  }

  #stop (): void {
    this.#onStart(null)
    this.onStop()
  }

  #send (message: FromWorker | ToKeeper, sent: () => void = () => {}): void {
    // The callback takes the error that would be thrown otherwise; what it means is said by the disconnect.
    if (process.connected && process.send !== undefined) process.send(message, undefined, undefined, () => { sent() })
    else sent()
  }
}
