// SIGTERM in the middle of everything: whoever asked for something is answered, whoever only pretends holds nothing up.
import t from 'tap'
import { untilBlocked } from '../invariants/support.ts'
import { connect, request, until } from '../support.ts'
import { RawClient, pollText, pushText } from './raw-client.ts'
import { notOnLinux, startServer } from './server-under-test.ts'

const POLLS = 1000
const PUSHES = 200
const STALLED = 300
const GRACE_MS = 12_000

t.test('SIGTERM with 1,000 parked pops, pushes in flight and stalled clients: all requests are answered, exit code 0 within the grace', { skip: notOnLinux }, async t => {
  const { server, url, databaseUrl, parkedPops } = await startServer(t, { env: { SHUTDOWN_TIMEOUT: String(GRACE_MS) } })
  const sql = connect(t, databaseUrl)
  const client = new RawClient(t, url)
  const polls = await client.openMany(POLLS, i => pollText(`q${i % 10}`))
  await until(async () => await parkedPops() === POLLS, 60_000)
  // Neither a request that never comes whole nor a connection without one.
  const push = pushText('stalled', 1)
  const stalled = await client.openMany(STALLED, i => [push.slice(0, 9), push.slice(0, -1), ''][i % 3] ?? '')

  const holder = await sql.reserve()
  await holder`begin`
  await holder`lock table regent.segments in exclusive mode`
  const pushes = await client.openMany(PUSHES, i => pushText('pushed', i))
  await untilBlocked(sql)
  // All of them have been read: what has not may be let go. Of the stalled ones, those whose head has come count as well.
  await until(async () => Number(/^queen_response_registry_size\{.*\} (\d+)$/m.exec((await request(`${url}/metrics/prometheus`)).text)?.[1]) >= POLLS + STALLED / 3 + PUSHES, 60_000)
  server.process.kill('SIGTERM')
  const signalledAt = performance.now()

  const empty = await Promise.all(polls.map(async poll => await poll.reply()))
  t.ok(empty.every(({ status, json }) => status === 200 && json.messages.length === 0), 'every parked pop is answered empty')
  t.notOk(server.hasEnded(), 'it waits for the pushes')
  await holder`rollback`
  holder.release()
  const answers = await Promise.all(pushes.map(async connection => await connection.reply()))
  t.same([...new Set(answers.map(({ status }) => status))], [201])
  t.equal(await server.ended, 0, server.output())
  t.ok(performance.now() - signalledAt < GRACE_MS, 'within the grace')
  t.ok(stalled.every(({ replies }) => replies.every(({ status }) => status !== 201)))
  const [row] = await sql`select count(*)::int as n, count(distinct data::text)::int as different from regent.messages where queue = 'pushed'`
  t.same(row, { n: PUSHES, different: PUSHES }, 'what was answered 201 is stored')
  t.same([...await sql`select from regent.messages where queue = 'stalled'`], [])
})
