import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { FaultProxy } from '../fault/proxy.ts'
import { createDatabase, startService, until } from '../support.ts'
import type { Answer, Service } from '../support.ts'

/** A folder for a file buffer; removed with the test. */
export function bufferFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'regent-failover-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

/** A service with a file buffer whose database can be taken away. */
export async function startBuffered (t: Test, options: Parameters<typeof startService>[1] = {}): Promise<{ service: Service, proxy: FaultProxy, folder: string }> {
  const folder = options.fileBufferDir ?? bufferFolder(t)
  const proxy = await FaultProxy.start(t, options.databaseUrl ?? await createDatabase(t))
  const service = await startService(t, { ...options, fileBufferDir: folder, databaseUrl: proxy.url })
  return { service, proxy, folder }
}

/** What is said of each message of a push. */
export function statuses (answer: Answer): string[] {
  if (answer.status !== 201) throw new Error(`the push was answered ${answer.status}: ${answer.text}`)
  return answer.json.map((item: { status: string }) => item.status)
}

/** How many messages the service has in its buffer. */
export async function buffered (service: Service): Promise<number> {
  return (await service.call('GET', '/api/v1/system/maintenance')).json.bufferedMessages
}

export async function untilDrained (service: Service): Promise<void> {
  await until(async () => await buffered(service) === 0, 30_000)
}

/** The payloads of everything in a queue, in the order of its partition; taken from it. */
export async function takeAll (service: Service, queue: string): Promise<unknown[]> {
  const payloads: unknown[] = []
  for (;;) {
    const answer = await service.pop(`${queue}?batch=10000&autoAck=true&partitions=100`)
    if (answer.json === undefined || answer.json.messages.length === 0) return payloads
    payloads.push(...answer.json.messages.map((message: { data: unknown }) => message.data))
  }
}
