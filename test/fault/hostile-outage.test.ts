// The database is away, the file buffer is full, clients push on, and thousands of pops are parked.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeFolder, start as startPostgres } from '../fixtures/embedded-postgres.ts'
import { request, until } from '../support.ts'
import { Bystander } from './bystander.ts'
import { RawClient, pollText, requestText } from './raw-client.ts'
import { notOnLinux, startServer } from './server-under-test.ts'

const PARKED = 3000
const SHORT_POLLS = 500
const SHORT_MS = 3000
const PRODUCERS = 8
const BUFFER_MB = 16
const PAYLOAD = 'x'.repeat(100 * 1024)
// Refused pushes, in all a multiple of what any cache would hold.
const REFUSALS = 4000
const LONG_MS = 120_000

t.test('with the database away and the file buffer full, pushes are refused, pops stay parked, memory stays flat; afterwards all is drained', { skip: notOnLinux }, async t => {
  const dataDir = makeFolder(t)
  const folder = makeFolder(t)
  const database = await startPostgres(t, dataDir)
  const databaseUrl = `postgres://postgres@localhost/postgres?host=${encodeURIComponent(database.socketDir)}&port=${database.port}`
  const { server, url, rssMb, descriptors, parkedPops } = await startServer(t, { databaseUrl, env: { FILE_BUFFER_DIR: folder, FILE_BUFFER_MAX_MB: String(BUFFER_MB) } })
  const client = new RawClient(t, url)
  const buffered = async (): Promise<number> => (await request(`${url}/api/v1/system/maintenance`)).json.bufferedMessages
  const folderMb = (): number => readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0) / 1024 / 1024
  const bystander = new Bystander(url)
  await bystander.served()
  await bystander.stop()

  const parked = await client.openMany(PARKED, i => pollText(`parked-${i % 3}`))
  const producers = await client.openMany(PRODUCERS)
  const push = (producer: number, sequence: number): string => requestText('POST', '/api/v1/push', JSON.stringify({
    items: [{ queue: 'load', partition: `p${producer}`, transactionId: `${producer}-${sequence}`, payload: [sequence, PAYLOAD] }]
  }))
  await until(async () => await parkedPops() === PARKED, LONG_MS)
  const before = descriptors()

  await database.stop()
  const short = await client.openMany(SHORT_POLLS, i => pollText(`parked-${i % 3}`, SHORT_MS))
  // Every producer pushes on until its part of the refusals has come; a message that is refused comes again.
  const kept: string[] = []
  let refusals = 0
  let warmMb = 0
  await Promise.all(producers.map(async (connection, producer) => {
    let sequence = 0
    for (let turn = 0; refusals < REFUSALS; turn++) {
      await connection.write(push(producer, sequence))
      const { status, json, headers } = await connection.reply(turn)
      if (status === 201 && json[0].status === 'buffered') {
        kept.push(json[0].transactionId)
        sequence++
      } else if (status === 503 && json.code === 'RGT_BUFFER_FULL' && json.retryable === true && Number(headers.get('retry-after')) > 0) {
        if (++refusals === REFUSALS / 4) warmMb = rssMb()
      } else {
        throw new Error(`push answered ${status} ${JSON.stringify(json)}`)
      }
    }
  }))
  t.ok(kept.length > BUFFER_MB * 1024 * 1024 / PAYLOAD.length / 2, `${kept.length} messages fitted`)
  t.ok(folderMb() <= BUFFER_MB, `${folderMb().toFixed(1)} MB on disk`)
  t.ok(rssMb() < warmMb + 100, `${Math.round(warmMb)} MB after a quarter of the refusals, ${Math.round(rssMb())} MB after all`)
  t.equal(await buffered(), kept.length)

  const empty = await Promise.all(short.map(async poll => await poll.reply()))
  t.ok(empty.every(({ status, json }) => status === 200 && json.messages.length === 0), 'pops whose time is over are answered empty')
  t.equal(await parkedPops(), PARKED)
  t.ok(parked.every(({ isClosed, replies }) => !isClosed && replies.length === 0), 'the others stay parked')

  await startPostgres(t, dataDir)
  await until(async () => await buffered() === 0, LONG_MS)
  const after = new Bystander(url, 'after')
  await after.served()
  await after.stop()
  t.strictSame([...bystander.faults, ...after.faults], [], 'pushes are stored in the database again')
  const wake = requestText('POST', '/api/v1/push', JSON.stringify({ items: [{ queue: 'parked-1', payload: 'at last' }] }))
  const waker = await client.open()
  await waker.write(wake)
  const answered = (): unknown[] => parked.flatMap(({ replies }) => replies.map(({ json }) => json.messages[0]?.data))
  await until(() => answered().length > 0, LONG_MS)
  t.same(answered(), ['at last'], 'a pop that was parked through all of it is served')

  const came: string[] = []
  const order = new Map<string, number>()
  while (came.length < kept.length) {
    const { messages } = (await request(`${url}/api/v1/pop/queue/load?batch=50&partitions=${PRODUCERS}&autoAck=true&wait=true&timeout=30000`)).json
    if (messages.length === 0) break
    for (const { transactionId, partition, data: [sequence] } of messages) {
      came.push(transactionId)
      t.equal(sequence, order.get(partition) ?? 0, `${partition} in order`)
      order.set(partition, sequence + 1)
    }
  }
  t.same(came.sort(), kept.sort(), 'what was answered buffered is there, once')
  for (const connection of [...parked, ...short, ...producers, waker]) connection.leave()
  await until(() => descriptors() < before - PARKED + 50, LONG_MS)
  t.notOk(server.hasEnded())
})
