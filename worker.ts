import { addService, createHttpServer, explain, listen } from './http-server.ts'
import { followConnections, limitWorkerConnections } from './services/http/connections.ts'
import type { ProcessReport } from './services/metrics/process-report.ts'
import { stopOnSignal } from './services/process/stop-on-signal.ts'
import { MainProcess } from './services/workers/main-process.ts'

// Files and sockets beside clients' connections: the buffer's files, the listener, what is opened for a moment.
const OWN_DESCRIPTORS = 60
/** The part of the shutdown's time that clients get to finish; the rest is for the database. */
export const CLIENTS_SHARE = 0.7

/** How many files and sockets a process has open besides clients' connections: the pool counts twice, it is replaced whole. */
export function ownDescriptors (poolSize = 0): number {
  return OWN_DESCRIPTORS + 2 * poolSize
}

/** One of several processes that serve requests: started, told what to do and stopped by the main process. */
export async function runWorker (): Promise<void> {
  const main = new MainProcess()
  const start = await main.hello()
  if (start === null) process.exit()
  const { number, server, regent: options, hasBuffer, mainSocket } = start
  const app = createHttpServer(server, number)
  limitWorkerConnections(app.server, ownDescriptors(options.poolSize), app.log)
  const dropConnections = followConnections(app.server, server.shutdownTimeoutMs * CLIENTS_SHARE)
  let isListening = false

  const { stop, isStopping } = stopOnSignal(app.log, server.shutdownTimeoutMs, async () => {
    if (isListening) {
      dropConnections()
      await app.close()
    }
  })
  main.followLogLevel(level => { app.log.level = level })
  main.onStop = () => { stop() }
  main.onGone = () => {
    // It waits for those that it has told to end, unless it was told to end at once.
    if (isStopping()) process.exit(1)
    stop(new Error('the main process is gone'))
  }

  try {
    const onReport = (report: () => ProcessReport): void => { main.report = report }
    await addService(app, options, { isEmbedded: false, role: { kind: 'worker', buffer: hasBuffer ? main.buffer : null, mainSocket, onReport } })
    const port = await listen(app, server)
    isListening = true
    main.listening(port)
  } catch (error) {
    if (isStopping()) return
    await main.failed(explain(error))
    await app.close()
    process.exit(1)
  }
}
