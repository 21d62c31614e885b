import { readdirSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makeFolder } from '../../fixtures/embedded-postgres.ts'
import { projectDir, readyUrl, spawnServer } from '../../fixtures/server-process.ts'
import type { ServerProcess } from '../../fixtures/server-process.ts'
import { request, until } from '../../support.ts'
import type { Journal } from './journal.ts'

/** What a server says about its file buffer and the maintenance of pushes. */
export interface BufferStatus { maintenanceMode: boolean, bufferedMessages: number }

// Short deadlines, so that a fault need not last long to outlast them.
const DEADLINES = { DB_CALL_TIMEOUT: '2000', DB_LOCK_TIMEOUT: '1000', DB_CONNECTION_TIMEOUT: '1000' }

interface Slot { folder: string, build: string, process: ServerProcess | null, url: string | null }

/** Server processes on one database, each with a folder for its file buffer that outlives it. */
export class Servers {
  readonly #t: Test
  readonly #journal: Journal
  readonly #env: Record<string, string>
  readonly #slots: Slot[]

  /** @param build the folder of the build that all of them run until told otherwise */
  constructor (t: Test, { journal, databaseUrl, count, env, build = projectDir }: { journal: Journal, databaseUrl: string, count: number, env: Record<string, string>, build?: string | undefined }) {
    this.#t = t
    this.#journal = journal
    this.#env = { LOG_LEVEL: 'warn', HOST: '127.0.0.1', DB_POOL_SIZE: '6', ...DEADLINES, ...env, DATABASE_URL: databaseUrl }
    this.#slots = Array.from({ length: count }, () => ({ folder: join(makeFolder(t), 'file-buffer'), build, process: null, url: null }))
  }

  get count (): number {
    return this.#slots.length
  }

  /** Where a server can be reached; null: nowhere now. */
  url (server: number): string | null {
    return this.#slot(server).url
  }

  folder (server: number): string {
    return this.#slot(server).folder
  }

  output (server: number): string {
    return this.#slot(server).process?.output() ?? ''
  }

  /** Starts one on the folder it had, and waits until it serves. */
  async start (server: number): Promise<void> {
    const slot = this.#slot(server)
    slot.process = this.spawn(slot.folder, `w${server}`, slot.build)
    slot.url = await readyUrl(slot.process)
    this.#journal.up(server)
  }

  /** What one runs from its next start on. */
  install (server: number, build: string): void {
    this.#slot(server).build = build
  }

  spawn (folder: string, workerId: string, build = projectDir): ServerProcess {
    return spawnServer(this.#t, {
      env: { ...this.#env, FILE_BUFFER_DIR: folder, WORKER_ID: workerId },
      command: [process.execPath, join(build, 'dist/server.js')],
      cwd: build
    })
  }

  async kill (server: number): Promise<void> {
    const running = this.#running(server)
    this.#journal.down(server, 'killed')
    running.process.kill('SIGKILL')
    await running.ended
  }

  /** Ends one as an operator does; returns its exit code. */
  async stop (server: number): Promise<number | string | null> {
    const running = this.#running(server)
    this.#journal.down(server, 'stopped')
    running.process.kill('SIGTERM')
    return await running.ended
  }

  freeze (server: number): void {
    this.#slot(server).process?.process.kill('SIGSTOP')
  }

  thaw (server: number): void {
    this.#slot(server).process?.process.kill('SIGCONT')
  }

  async status (server: number): Promise<BufferStatus> {
    const { json } = await request(`${this.url(server)}/api/v1/system/maintenance`, { signal: AbortSignal.timeout(60_000) })
    return json
  }

  async setMaintenance (server: number, enabled: boolean): Promise<void> {
    const answer = await request(`${this.url(server)}/api/v1/system/maintenance`, { method: 'POST', body: JSON.stringify({ enabled }) })
    if (answer.status !== 200) throw new Error(`maintenance was answered ${answer.status} ${answer.text}`)
  }

  /** Waits until nothing is buffered anywhere. */
  async untilDrained (timeoutMs = 90_000): Promise<void> {
    await until(async () => {
      for (const server of this.#slots.keys()) if ((await this.status(server)).bufferedMessages > 0) return false
      return true
    }, timeoutMs)
  }

  /** Resolves as soon as the file buffer begins another file. */
  async nextFile (server: number): Promise<void> {
    await new Promise<void>(resolve => {
      const watcher = watch(this.folder(server), (event, name) => {
        if (event !== 'rename' || !/^\d+\.log$/.test(name ?? '')) return
        watcher.close()
        resolve()
      })
    })
  }

  /** What was set aside in the file buffers. */
  quarantined (): string[] {
    return this.#slots.flatMap(({ folder }) => {
      try {
        return readdirSync(join(folder, 'quarantine'))
      } catch {
        // None was ever made.
        return []
      }
    })
  }

  #slot (server: number): Slot {
    const slot = this.#slots[server]
    if (slot === undefined) throw new Error(`no server ${server}`)
    return slot
  }

  #running (server: number): ServerProcess {
    const slot = this.#slot(server)
    if (slot.process === null) throw new Error(`server ${server} does not run`)
    slot.url = null
    return slot.process
  }
}
