// Very many parked pops: what they take, who is woken, and what becomes of those whose clients leave.
import t from 'tap'
import { LOOK } from '../poll/parked.ts'
import { createDatabase, request, until } from '../support.ts'
import { Bystander } from './bystander.ts'
import { FaultProxy } from './proxy.ts'
import { RawClient, pollText, pushText } from './raw-client.ts'
import type { RawConnection } from './raw-client.ts'
import { notOnLinux, startServer } from './server-under-test.ts'

const POLLS = 10_000
const QUEUES = 4
// Measured: 17 KB with its connection.
const MOST_KB_PER_POLL = 40
const LONG_MS = 120_000

/** The payloads that were delivered on these connections. */
function delivered (connections: readonly RawConnection[]): unknown[] {
  return connections.flatMap(({ replies }) => replies.flatMap(({ json }) => json.messages.map(({ data }: { data: unknown }) => data)))
}

async function setHeld (url: string, enabled: boolean): Promise<void> {
  await request(`${url}/api/v1/system/maintenance/pop`, { method: 'POST', body: JSON.stringify({ enabled }) })
}

t.test('10,000 parked pops', { skip: notOnLinux }, async t => {
  const proxy = await FaultProxy.start(t, await createDatabase(t))
  const { url, rssMb, descriptors, parkedPops } = await startServer(t, { databaseUrl: proxy.url })
  const client = new RawClient(t, url)
  const warmUp = new Bystander(url, 'warm-up')
  await warmUp.served()
  await warmUp.stop()
  const before = { rssMb: rssMb(), descriptors: descriptors() }
  const queueOf = (i: number): string => `q${i % QUEUES}`
  // The bystander's own pop may be parked too.
  const areParked = async (count: number): Promise<boolean> => Math.abs(await parkedPops() - count) <= 1

  const polls: RawConnection[] = []
  while (polls.length < 3 * QUEUES) {
    const i = polls.length
    polls.push(...await client.openMany(1, () => pollText(queueOf(i))))
    await until(async () => await parkedPops() === polls.length)
  }
  const bystander = new Bystander(url)
  polls.push(...await client.openMany(POLLS - polls.length, i => pollText(queueOf(i))))
  await until(async () => await areParked(POLLS), LONG_MS)
  const kilobytes = (rssMb() - before.rssMb) * 1024 / POLLS
  t.ok(kilobytes < MOST_KB_PER_POLL, `${kilobytes.toFixed(1)} KB a poll`)
  await bystander.served()

  const pusher = await client.open()
  for (const payload of ['a', 'b', 'c']) await pusher.write(pushText('q2', payload))
  await until(() => delivered(polls).length === 3, LONG_MS)
  await bystander.served()
  const woken = polls.flatMap(({ replies }, i) => replies.length > 0 ? [i] : [])
  t.same(woken, [2, 6, 10], 'three messages wake the three that have waited longest for them, and nobody else')
  t.same(delivered(polls).sort(), ['a', 'b', 'c'])
  t.ok(await areParked(POLLS - 3))

  await bystander.stop()
  t.strictSame(bystander.faults, [])

  // Every other client leaves while it is being looked for: what was found is in the database's answer.
  const messages = Array.from({ length: 500 }, (_, i) => i)
  await setHeld(url, true)
  await pusher.write(messages.map(i => pushText(queueOf(i), i, `p${i}`)).join(''))
  t.equal((await pusher.reply(2 + messages.length)).status, 201)
  const look = proxy.catch('answer', LOOK)
  await setHeld(url, false)
  const caught = await look
  const isLeaving = (i: number): boolean => Math.floor(i / QUEUES) % 2 === 0
  const leavers = polls.filter(({ replies }, i) => isLeaving(i) && replies.length === 0)
  for (const poll of leavers) poll.leave()
  const second = new Bystander(url, 'second')
  await until(async () => await areParked(POLLS - leavers.length - delivered(polls).length), LONG_MS)
  caught.release()
  const seen = (): unknown[] => delivered(polls).filter(data => typeof data === 'number')
  await until(() => seen().length >= messages.length, LONG_MS).catch(() => {})
  t.same(seen().sort((a, b) => Number(a) - Number(b)), messages, 'what was claimed for those who left goes to others, and nothing twice')
  t.same(delivered(leavers), [])
  await until(async () => await areParked(POLLS - 3 - leavers.length - messages.length), LONG_MS)
  await second.served()

  for (const poll of polls) poll.leave()
  pusher.leave()
  await until(async () => await areParked(0), LONG_MS)
  // Its pool may have grown meanwhile.
  await until(() => descriptors() <= before.descriptors + 50, LONG_MS)
  await second.stop()
  t.strictSame(second.faults, [])
  t.equal(await parkedPops(), 0)
  t.comment(`the slowest of ${bystander.rounds + second.rounds} rounds of others took ${Math.round(Math.max(bystander.slowestMs, second.slowestMs))} ms`)
})

t.test('a client that parks pops without end on one connection is let go, with all of them', { skip: notOnLinux }, async t => {
  const { url, rssMb, parkedPops } = await startServer(t)
  const client = new RawClient(t, url)
  const bystander = new Bystander(url)
  await bystander.served()
  const before = rssMb()
  const modest = await client.open()
  await modest.write(pollText('modest').repeat(500))
  const greedy = await client.openMany(10)
  await Promise.all(greedy.map(async connection => {
    for (let i = 0; i < 20; i++) await connection.write(pollText('greedy').repeat(1000))
    await connection.closed()
  }))
  await until(async () => Math.abs(await parkedPops() - 500) <= 1, LONG_MS)
  // What it took is given back when memory is next tidied up.
  await until(() => rssMb() < before + 150, LONG_MS).catch(() => { t.fail(`${Math.round(rssMb() - before)} MB`) })
  await bystander.served()
  await bystander.stop()
  t.strictSame(bystander.faults, [])
  t.equal(await parkedPops(), 500, 'those of a client that keeps within bounds stay')
  await modest.write(pushText('modest', 1))
  t.match((await modest.reply()).json.messages, [{ data: 1 }])
})
