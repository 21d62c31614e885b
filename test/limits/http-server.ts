import type { Test } from 'tap'
import { addService, createHttpServer, listen } from '../../http-server.ts'
import { readEnvironment } from '../../services/options.ts'
import { createDatabase } from '../support.ts'

/** The server of `npm start` within this process, on a database of its own; returns its URL. */
export async function startHttpServer (t: Test, env: Record<string, string> = {}): Promise<string> {
  const { server, regent } = readEnvironment({
    DATABASE_URL: await createDatabase(t), PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'silent', FILE_BUFFER_DIR: 'off', MAX_EVENT_LOOP_DELAY: '0', ...env
  })
  const app = createHttpServer(server)
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
  })
  await addService(app, regent, { isEmbedded: false, role: undefined })
  return `http://127.0.0.1:${await listen(app, server)}`
}
