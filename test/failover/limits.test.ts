import t from 'tap'
import Fastify from 'fastify'
import regent from '../../index.ts'
import { filesWith } from '../fixtures/plaintext-search.ts'
import { FaultProxy } from '../fault/proxy.ts'
import { connect, createDatabase, startService, until } from '../support.ts'
import { buffered, bufferFolder, startBuffered, statuses, takeAll, untilDrained } from './support.ts'

const KEY = '0123456789abcdef'.repeat(4)
const SECRET = 'secret-5b1f9a77'

t.test('a full buffer refuses pushes until it has been drained', async t => {
  const { service, proxy } = await startBuffered(t, { fileBufferMaxMb: 1 })
  await service.push([{ queue: 'q', payload: 'first' }])
  await proxy.leave()
  const filler = 'x'.repeat(100_000)
  const accepted: unknown[] = ['first']
  let refused
  for (let n = 0; refused === undefined && n < 20; n++) {
    const payload = `${n} ${filler}`
    const answer = await service.push([{ queue: 'q', payload }])
    if (answer.status === 201) accepted.push(payload)
    else refused = answer
  }
  t.equal(refused?.status, 503)
  t.match(refused?.json, { code: 'RGT_BUFFER_FULL', retryable: true })
  t.match(refused?.headers.get('retry-after'), /^\d+$/)
  t.match((await service.call('GET', '/health')).json, { file_buffer: { state: 'full' } })
  t.match((await service.call('GET', '/api/v1/system/maintenance')).json, { bufferHealthy: false })
  const small = await service.push([{ queue: 'q', payload: 'x'.repeat(2_000_000) }])
  t.match(small.json, { code: 'RGT_BUFFER_FULL' }, 'and so is what would never fit: the database can take it later')
  await proxy.comeBack()
  await untilDrained(service)
  t.strictSame(statuses(await service.push([{ queue: 'q', payload: 'last' }])), ['queued'])
  t.strictSame(await takeAll(service, 'q'), [...accepted, 'last'])
})

t.test('messages of encrypted queues, and of queues that are not known, are never in clear text on the disk', async t => {
  const { service, proxy, folder } = await startBuffered(t, { encryptionKeys: `a:${KEY}` })
  await service.call('POST', '/api/v1/configure', { queue: 'sealed', options: { encryptionEnabled: true } })
  await service.push([{ queue: 'sealed', payload: 0 }, { queue: 'plain', payload: 0 }])
  await proxy.leave()
  for (const queue of ['sealed', 'unknown']) t.strictSame(statuses(await service.push([{ queue, payload: SECRET }])), ['buffered'])
  t.strictSame(await filesWith(folder, SECRET), [])
  t.strictSame(statuses(await service.push([{ queue: 'plain', payload: SECRET }])), ['buffered'])
  t.not((await filesWith(folder, SECRET)).length, 0, 'a queue that is known not to encrypt costs nothing')
  await proxy.comeBack()
  await untilDrained(service)
  const rows = await connect(t, proxy.url)`select queue, sealed, data like ${`%${SECRET}%`} as clear from regent.messages where data <> '0' order by queue`
  t.match([...rows].filter(row => row.clear === true || row.sealed === true).map(({ queue, clear }) => [queue, clear]), [['plain', true], ['sealed', false], ['sealed', false], ['unknown', true]])
  t.strictSame(await takeAll(service, 'sealed'), [0, SECRET])
  t.strictSame(await takeAll(service, 'unknown'), [SECRET])
})

t.test('a process without a key keeps nothing of a queue that encrypts', async t => {
  const databaseUrl = await createDatabase(t)
  const keyed = await startService(t, { databaseUrl, encryptionKeys: `a:${KEY}`, fileBufferDir: bufferFolder(t) })
  await keyed.call('POST', '/api/v1/configure', { queue: 'sealed', options: { encryptionEnabled: true } })
  const folder = bufferFolder(t)
  const service = await startService(t, { databaseUrl, fileBufferDir: folder })
  t.equal((await service.push([{ queue: 'sealed', payload: SECRET }])).json.code, 'RGT_ENCRYPTION_KEY_MISSING')
  await keyed.call('POST', '/api/v1/system/maintenance', { enabled: true })
  await until(async () => (await service.call('GET', '/health')).json.pushes === 'maintenance')
  const refused = await service.push([{ queue: 'sealed', payload: SECRET }])
  t.equal(refused.status, 500)
  t.equal(refused.json.code, 'RGT_ENCRYPTION_KEY_MISSING')
  t.strictSame(await filesWith(folder, SECRET), [])
})

t.test('an outage is logged as it begins and as it ends, not with every request', async t => {
  const lines: { level: number, msg: string }[] = []
  const proxy = await FaultProxy.start(t, await createDatabase(t))
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  await app.register(regent, { databaseUrl: proxy.url, fileBufferDir: bufferFolder(t) })
  t.teardown(async () => { await app.close() })
  await app.ready()
  await app.regent.push([{ queue: 'q', payload: 0 }])
  lines.length = 0
  await proxy.leave()
  for (let n = 0; n < 200; n++) await app.regent.push([{ queue: 'q', payload: n }])
  await proxy.comeBack()
  await until(async () => (await app.regent.push([{ queue: 'q', payload: 0 }]))[0]?.status === 'queued')
  const pushes = lines.filter(({ msg }) => msg.startsWith('pushes: ')).map(({ msg }) => msg)
  t.strictSame(pushes, ['pushes: buffered, the database is away', 'pushes: the file buffer is drained', 'pushes: stored in the database'])
  t.ok(lines.length < 20, `${lines.length} lines: ${lines.map(({ msg }) => msg).join('; ')}`)
})

t.test('messages that wait are counted after a restart as well', async t => {
  const { service, proxy, folder } = await startBuffered(t)
  await proxy.leave()
  await service.push([{ queue: 'a', payload: 1 }, { queue: 'a', partition: 'p', payload: 2 }, { queue: 'b', payload: 3 }])
  await service.push([{ queue: 'a', payload: 4 }])
  await service.close()
  const next = await startService(t, { databaseUrl: proxy.url, fileBufferDir: folder })
  t.equal(await buffered(next), 4)
})
