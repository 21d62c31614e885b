import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import regent from '../../index.ts'
import type { RegentOptions } from '../../index.ts'
import { connect, createDatabase } from '../support.ts'

const encryptionKey = randomBytes(32).toString('hex')

async function makeApp (t: Test, options: Partial<RegentOptions>): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(regent, options)
  await app.ready()
  return app
}

t.test('embedding code pushes and pops encrypted messages as any others', async t => {
  const databaseUrl = await createDatabase(t)
  const { regent: queue } = await makeApp(t, { databaseUrl, encryptionKey })
  const sql = connect(t, databaseUrl)
  await queue.configure('q', { encryptionEnabled: true })
  const payload = { text: 'ü\u0000\u2028', list: [1.5, null], sealed: 1 }
  await queue.push([{ queue: 'q', payload, transactionId: 'a",\\"data\\":' }])
  await queue.transaction({ push: [{ queue: 'q', payload: 'x' }, { queue: 'plain', payload: 'y' }] })
  t.same((await sql`select sealed from regent.messages order by queue, position`).map(row => row.sealed), [false, true, true])
  const messages = await queue.pop({ queue: 'q', batch: 9 })
  t.match(messages, [{ transactionId: 'a",\\"data\\":', dataText: JSON.stringify(payload) }, { data: 'x', dataText: '"x"' }])
  t.same(messages[0]?.data, payload)
  t.match(await queue.ack(messages), [{ success: true }, { success: true }])
})

t.test('a pop that cannot decrypt rejects and leaves the messages to others', async t => {
  const databaseUrl = await createDatabase(t)
  const { regent: queue } = await makeApp(t, { databaseUrl, encryptionKey })
  const { regent: keyless } = await makeApp(t, { databaseUrl })
  await t.rejects(keyless.configure('q', { encryptionEnabled: true }), { name: 'FieldError', field: 'options.encryptionEnabled' })
  await queue.configure('q', { encryptionEnabled: true })
  await queue.push([{ queue: 'q', payload: 1 }, { queue: 'q', payload: 2 }])
  await t.rejects(keyless.push([{ queue: 'q', payload: 3 }]), { code: 'RGT_ENCRYPTION_KEY_MISSING' })
  await t.rejects(keyless.transaction({ push: [{ queue: 'q', payload: 3 }] }), { code: 'RGT_ENCRYPTION_KEY_MISSING' })
  for (const autoAck of [false, true]) await t.rejects(keyless.pop({ queue: 'q', batch: 9, autoAck, waitMs: 30_000 }), { code: 'RGT_MESSAGE_UNREADABLE' })
  t.match(await queue.pop({ queue: 'q', batch: 9, waitMs: 30_000 }), [{ data: 1, deliveryCount: 1 }, { data: 2, deliveryCount: 1 }])
})

t.test('faulty keys end the start with an error that names the option and not the key', async t => {
  for (const [option, value] of [['encryptionKey', encryptionKey.slice(1)], ['encryptionKeys', `k:${encryptionKey.slice(1)}`]] as const) {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    const error: unknown = await app.register(regent, { databaseUrl: 'postgres://localhost/x', [option]: value }).then(() => null, (caught: unknown) => caught)
    t.match(error, { code: 'RGT_OPTIONS_INVALID', message: new RegExp(`${option}: `) })
    t.notOk((error as Error).message.includes(value))
  }
})
