import { randomBytes } from 'node:crypto'
import t from 'tap'
import { tablesWith } from '../fixtures/plaintext-search.ts'
import { connect, startService, until } from '../support.ts'
import type { Service } from '../support.ts'

const encryptionKey = randomBytes(32).toString('hex')

/** One message by a push, and one by a transaction. */
async function pushBothWays (service: Service, partition: string, payload: string): Promise<void> {
  const item = { queue: 'q', partition, payload }
  const answers = [
    await service.push([item]),
    await service.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [item] }] })
  ]
  for (const { status, text, json } of answers) {
    if (status >= 300 || json.success === false) throw new Error(text)
  }
}

t.test('a process that was never told that a queue has become encrypted does not write clear text', async t => {
  const service = await startService(t, { encryptionKey })
  const ignorant = await startService(t, { databaseUrl: service.databaseUrl })
  const sql = connect(t, service.databaseUrl)
  for (const each of [service, ignorant]) await pushBothWays(each, 'p', 'before')
  // Past every process, so that none is notified.
  await sql`select regent.configure_v2('q', null, null, '{"encryptionEnabled":true}', true)`

  await pushBothWays(service, 'p', 'after')
  t.match((await ignorant.push([{ queue: 'q', partition: 'p', payload: 'lost' }])).json, { code: 'RGT_ENCRYPTION_KEY_MISSING' })
  t.same((await sql`select sealed from regent.messages order by position`).map(row => row.sealed), [false, false, false, false, true, true])

  await sql`select regent.configure_v2('q', null, null, '{"encryptionEnabled":false}', true)`
  for (const each of [service, ignorant]) await pushBothWays(each, 'p', 'open again')
  t.same((await sql`select data from regent.messages where position > 6`).map(row => row.data), Array.from({ length: 4 }, () => '"open again"'))
})

t.test('once a queue has been configured to be encrypted, no process that is pushing to it writes clear text', async t => {
  const service = await startService(t, { encryptionKey })
  const other = await startService(t, { databaseUrl: service.databaseUrl, encryptionKey })
  const sql = connect(t, service.databaseUrl)
  const before = `before-${randomBytes(16).toString('hex')}`
  const after = `after-${randomBytes(16).toString('hex')}`
  let marker = before
  const done = new AbortController()
  const pushed: number[] = []
  const pushOn = async (from: Service, partition: string, writer: number): Promise<void> => {
    pushed[writer] = 0
    while (!done.signal.aborted) {
      await pushBothWays(from, partition, `${marker} ${writer}`)
      pushed[writer]++
    }
  }
  // Two writers of each process, one partition of its own and one that the processes share.
  const writers = [[service, 'own'], [service, 'shared'], [other, 'shared'], [other, 'others']] as const
  const running = Promise.all(writers.map(async ([from, partition], writer) => { await pushOn(from, partition, writer) }))
  const furtherRounds = async (count: number): Promise<void> => {
    const start = [...pushed]
    await until(() => pushed.every((rounds, writer) => rounds - (start[writer] ?? 0) >= count), 60_000)
  }
  const openLines = async (): Promise<number> => Number((await sql`select count(*) from regent.messages where not sealed`)[0]?.count)

  await furtherRounds(5)
  t.equal((await service.call('POST', '/api/v1/configure', { queue: 'q', options: { encryptionEnabled: true } })).status, 200)
  marker = after
  const openAtOnce = await openLines()
  await furtherRounds(5)
  done.abort()
  await running

  t.equal(await openLines(), openAtOnce, 'what was on its way is sealed as well')
  const late = await sql`select partition, position from regent.messages m where not sealed
    and position > (select min(position) from regent.messages n where n.partition = m.partition and n.sealed)`
  t.same([...late], [], 'nothing in clear text behind something sealed')
  t.same(await tablesWith(sql, after), [])
  t.same(await tablesWith(sql, before), ['segments'], 'the search finds what is there')

  const texts = new Map<string, number>()
  for (const partition of ['own', 'shared', 'others']) {
    for (const { data } of (await other.pop(`q/partition/${partition}?batch=10000`)).json.messages) texts.set(data, (texts.get(data) ?? 0) + 1)
  }
  for (const [writer, rounds] of pushed.entries()) {
    t.equal((texts.get(`${before} ${writer}`) ?? 0) + (texts.get(`${after} ${writer}`) ?? 0), rounds * 2, 'each message is there once')
    t.ok((texts.get(`${after} ${writer}`) ?? 0) > 0)
  }
})
