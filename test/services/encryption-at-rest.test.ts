import { randomBytes } from 'node:crypto'
import t from 'tap'
import { makeFolder, start } from '../fixtures/embedded-postgres.ts'
import { filesWith, tablesWith } from '../fixtures/plaintext-search.ts'
import { connect, startService } from '../support.ts'

const encryptionKey = randomBytes(32).toString('hex')

t.test('no table and no file holds a payload of an encrypted queue, and the search would find one', async t => {
  const folder = makeFolder(t)
  // Images of whole pages in the write-ahead log would be compressed and could hide what they hold.
  const { user, socketDir, port } = await start(t, folder, { wal_compression: 'off' })
  const databaseUrl = `postgres://${user}@localhost/postgres?host=${encodeURIComponent(socketDir)}&port=${port}`
  const service = await startService(t, { databaseUrl, encryptionKey })
  const sql = connect(t, databaseUrl)
  // Random, so that compression leaves them as they are.
  const secrets = { push: '', transaction: '', dead: '', large: '' }
  const seen = { ...secrets }
  for (const [queue, markers] of Object.entries({ secret: secrets, plain: seen })) {
    const isSecret = queue === 'secret'
    for (const way of Object.keys(markers) as (keyof typeof markers)[]) markers[way] = randomBytes(24).toString('hex')
    await service.call('POST', '/api/v1/configure', { queue, options: { encryptionEnabled: isSecret } })
    await service.push([{ queue, partition: 'push', payload: { text: markers.push } }])
    await service.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue, partition: 'transaction', payload: markers.transaction }] }] })
    await service.push([{ queue, partition: 'large', payload: [markers.large, randomBytes(100_000).toString('base64')] }])
    await service.push([{ queue, partition: 'dead', payload: markers.dead }])
    const { messages: [message] } = (await service.pop(`${queue}/partition/dead`)).json
    t.equal(message.data, markers.dead)
    t.match((await service.call('POST', '/api/v1/ack', { ...message, status: 'dlq', error: 'no good' })).json, [{ dlq: true }])
    t.equal((await service.pop(`${queue}/partition/large?autoAck=true`)).json.messages[0].data[0], markers.large)
  }
  await sql`checkpoint`

  for (const [way, marker] of Object.entries(seen)) {
    const expected = way === 'dead' ? ['dead_letters', 'segments'] : ['segments']
    t.same(await tablesWith(sql, marker), expected, `the search finds what came by ${way}`)
    const files = await filesWith(folder, marker)
    t.ok(files.some(file => file.includes('/base/')), 'in the files of tables')
    t.ok(files.some(file => file.includes('/pg_wal/')), 'and in the write-ahead log')
  }
  for (const [way, marker] of Object.entries(secrets)) {
    t.same(await tablesWith(sql, marker), [], way)
    t.same(await filesWith(folder, marker), [], `${way}: the write-ahead log included`)
  }
  for (const key of [encryptionKey, Buffer.from(encryptionKey, 'hex').toString('latin1'), Buffer.from(encryptionKey, 'hex').toString('base64')]) {
    t.same(await filesWith(folder, key), [], 'the key')
  }
})
