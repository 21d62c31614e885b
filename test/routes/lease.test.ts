import { randomUUID } from 'node:crypto'
import t from 'tap'
import { connect, startService } from '../support.ts'
import type { Answer } from '../support.ts'
import { configure, expireLeases, pushIds, take, takeIds, takeOne, ackOne } from './consumer.ts'

t.test('lease extension', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  const extend = async (leaseId: string, body?: unknown): Promise<Answer> => await service.call('POST', `/api/v1/lease/${leaseId}/extend`, body)
  const secondsLeft = (answer: Answer): number => (Date.parse(answer.json.expiresAt) - Date.now()) / 1000

  t.test('answers the new end under every name that clients read', async t => {
    await configure(service, 'names', { leaseTime: 10 })
    await pushIds(service, 'names', ['a'])
    const { leaseId } = await takeOne(service, 'names')
    const answer = await extend(leaseId, { seconds: 100 })
    t.equal(answer.status, 200)
    const { expiresAt } = answer.json
    t.match(expiresAt, /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
    t.same(answer.json, { leaseId, success: true, error: null, expiresAt, newExpiresAt: expiresAt, lease_expires_at: expiresAt })
    t.ok(secondsLeft(answer) > 60 && secondsLeft(answer) <= 101)
  })

  t.test('reads no body, {}, [] and null alike as a minute', async t => {
    await configure(service, 'bodies', { leaseTime: 5 })
    for (const [i, body] of [undefined, '', '{}', '[]', 'null', '{"seconds":null}'].entries()) {
      await pushIds(service, 'bodies', [`m${i}`], `p${i}`)
      const { leaseId } = await takeOne(service, `bodies/partition/p${i}`)
      const answer = await extend(leaseId, body)
      t.equal(answer.status, 200, `body: ${body}`)
      t.ok(secondsLeft(answer) > 40 && secondsLeft(answer) <= 61, `body: ${body}`)
    }
  })

  t.test('never shortens', async t => {
    await pushIds(service, 'short', ['a'])
    const { leaseId } = await takeOne(service, 'short')
    for (const seconds of [0, 1]) t.ok(secondsLeft(await extend(leaseId, { seconds })) > 200)
  })

  t.test('extends every partition of the lease, and says the earliest end', async t => {
    await configure(service, 'several', { leaseTime: 5 })
    for (const partition of ['p1', 'p2', 'p3']) await pushIds(service, 'several', [partition], partition)
    const messages = await take(service, 'several?batch=9&partitions=9')
    const leaseId = messages[0]?.leaseId ?? ''
    await sql`update regent.cursors set available_at = available_at + interval '1 hour'
      where (lease_id, partition_id) in (select lease_id, max(partition_id) from regent.cursors where lease_id = ${leaseId}::uuid group by lease_id)`
    const answer = await extend(leaseId, { seconds: 600 })
    t.ok(secondsLeft(answer) > 500 && secondsLeft(answer) <= 601)
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from regent.cursors
      where lease_id = ${leaseId}::uuid and available_at > clock_timestamp() + interval '500 seconds'`
    t.equal(row?.count, 3)
  })

  t.test('answers 404 for a lease that nobody holds', async t => {
    await pushIds(service, 'gone', ['a'])
    const a = await takeOne(service, 'gone')
    await ackOne(service, a)
    for (const id of [a.leaseId, randomUUID(), 'junk', '%20', 'a'.repeat(300), '']) {
      const { status, json } = await extend(id)
      t.equal(status, 404, id)
      t.match(json, { error: String, retryable: false })
    }
  })

  t.test('answers 409 for a lease that has run out, and does not revive it', async t => {
    await pushIds(service, 'late', ['a'])
    const { leaseId } = await takeOne(service, 'late')
    await expireLeases(sql, 'late')
    t.match(await extend(leaseId), { status: 409, json: { code: 'RGT_LEASE_EXPIRED', error: 'Lease already expired' } })
    t.same(await takeIds(service, 'late'), ['a'])
    t.equal((await extend(leaseId)).status, 404, 'another has it now')
  })

  t.test('refuses a length that is none and names the field', async t => {
    await pushIds(service, 'lengths', ['a'])
    const { leaseId } = await takeOne(service, 'lengths')
    for (const seconds of ['60', 1.5, -1, 1e12, true, {}, []]) {
      t.match(await extend(leaseId, { seconds }), { status: 400, json: { code: 'RGT_FIELD_INVALID', field: 'seconds' } }, JSON.stringify(seconds))
    }
    t.match(await extend(leaseId, '{'), { status: 400, json: { code: 'RGT_BODY_NOT_JSON' } })
  })
})
