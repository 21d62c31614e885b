import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { addService, createHttpServer } from '../../http-server.ts'
import { readEnvironment } from '../../services/options.ts'
import { SECRET, bearer, sign } from '../auth/support.ts'
import { createDatabase, request } from '../support.ts'
import type { Answer } from '../support.ts'
import { Contract } from './contract.ts'
import type { Operation } from './contract.ts'
import { urlOf } from './examples.ts'
import type { Example } from './examples.ts'

/** A service and what it says about itself. Everything that it answers is held against that. */
export interface Described {
  url: string
  contract: Contract
  /** What was answered and is not described. */
  wrong: Set<string>
  /** A request for an operation; without a token when that is null. */
  call: (operationId: string, example?: Example, init?: RequestInit) => Promise<Answer>
  operation: (operationId: string) => Operation
}

/** @param headers what every request has */
export async function described (url: string, headers: Record<string, string> = {}): Promise<Described> {
  const { json } = await request(`${url}/openapi.json`)
  const contract = new Contract(json)
  const wrong = new Set<string>()
  const operation = (operationId: string): Operation => {
    const found = contract.operations.find(known => known.operationId === operationId)
    if (found === undefined) throw new Error(`there is no operation ${operationId}`)
    return found
  }
  const call = async (operationId: string, example: Example = {}, init: RequestInit = {}): Promise<Answer> => {
    const { method, path } = operation(operationId)
    const { body } = example
    const answer = await request(url + urlOf(path, example), {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...init
    })
    const fault = contract.faultOf(operation(operationId), answer)
    if (fault !== null) wrong.add(fault)
    return answer
  }
  return { url, contract, wrong, call, operation }
}

/** The service as `npm start` has it, asking for tokens; its requests are an administrator's. */
export async function startDescribed (t: Test, env: Record<string, string> = {}): Promise<Described & { databaseUrl: string }> {
  const databaseUrl = env.DATABASE_URL ?? await createDatabase(t)
  const folder = mkdtempSync(join(tmpdir(), 'regent-contract-'))
  const { server, regent } = readEnvironment({
    DATABASE_URL: databaseUrl, FILE_BUFFER_DIR: folder, MAX_EVENT_LOOP_DELAY: '0', JWT_ENABLED: 'true', JWT_SECRET: SECRET, ...env
  })
  const app = createHttpServer({ ...server, port: 0, host: '127.0.0.1', logLevel: 'silent' })
  t.teardown(async () => {
    await app.close()
    rmSync(folder, { recursive: true, force: true })
  })
  await addService(app, regent, { isEmbedded: false, role: undefined })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const { headers } = bearer(await sign({ sub: 'administrator', role: 'admin' }))
  return { ...await described(url, headers as Record<string, string>), databaseUrl }
}
