import t from 'tap'
import { systemClock } from '../../services/channels/deadlines.ts'
import { until } from '../support.ts'
import { PollingClient, STAGES } from './polling-client.ts'
import type { Stage } from './polling-client.ts'
import type { Hex } from './raw-frames.ts'
import { seeded } from './seeded.ts'
import { overEach, startChannels } from './support.ts'
import type { Channels } from './support.ts'

async function joinAll ({ join }: Channels, count: number): Promise<PollingClient[]> {
  return await Promise.all(Array.from({ length: count }, async () => new PollingClient(await join())))
}

const echo = (message: string): string => `${message}-echo`

overEach('three senders and three receivers at once get nothing mixed up, many times', async (t, start, transport) => {
  const channels = await start()
  const senders = await joinAll(channels, 3)
  const receivers = await joinAll(channels, 3)
  let wrong = 0
  for (let round = 0; round < (transport === 'TCP' ? 1000 : 200); round++) {
    const [replies, served] = await Promise.all([
      Promise.all(senders.map(async (sender, place) => await sender.send(`${round}/${place}`))),
      Promise.all(receivers.map(async receiver => await receiver.receive(echo)))
    ])
    if (replies.some((reply, place) => reply !== `${round}/${place}-echo`) || new Set(served).size !== 3) wrong++
  }
  t.equal(wrong, 0)
  t.same(senders.flatMap(({ strays }) => strays), [])
})

overEach('receivers that come for one request each, and close without their last frame, lose no reply', async (t, start) => {
  const channels = await start()
  const senders = await joinAll(channels, 3)
  for (let round = 0; round < 50; round++) {
    const receivers = await joinAll(channels, 3)
    const [replies] = await Promise.all([
      Promise.all(senders.map(async sender => await sender.send('x'))),
      Promise.all(receivers.map(async receiver => await receiver.receive(echo, (_request, stage) => stage !== 'ended')))
    ])
    if (replies.some(reply => reply !== 'x-echo')) t.same(replies, ['x-echo', 'x-echo', 'x-echo'], `round ${round}`)
  }
  t.match(channels.broker.tally, { opened: 150, completed: 150, failed: 0 })
})

overEach('fifty senders and eight receivers: every request is answered, by one receiver', async (t, start) => {
  const channels = await start()
  const senders = await joinAll(channels, 50)
  const receivers = await joinAll(channels, 8)
  const servedBy = new Map<Hex, number>()
  const over = new AbortController()
  const serving = receivers.map(async receiver => {
    while (!over.signal.aborted) {
      await receiver.receive(echo, (request, stage) => {
        if (stage === 'accepted') servedBy.set(request, (servedBy.get(request) ?? 0) + 1)
        return true
      }).catch(error => { if (!over.signal.aborted) throw error })
    }
  })
  let right = 0
  await Promise.all(senders.map(async (sender, place) => {
    for (let n = 0; n < 20; n++) if (await sender.send(`${place}/${n}`) === `${place}/${n}-echo`) right++
  }))
  over.abort()
  t.equal(right, 1000)
  t.same([servedBy.size, [...servedBy.values()].filter(times => times !== 1)], [1000, []])
  await until(() => channels.broker.figures().requests === 0)
  for (const { raw } of [...senders, ...receivers]) raw.socket.destroy()
  await Promise.all(serving)
  await until(channels.isEmpty)
})

for (const { transports, requests } of [
  { transports: ['TCP'], requests: 200 },
  { transports: ['TCP', 'WebSocket'], requests: 60 }
] as const) {
  t.test(`receivers join, leave and die at any moment: every sender gets one reply or one error for each request (${transports.join(', ')})`, async t => {
    const SENDERS = 50
    const random = seeded(11)
    const channels = await startChannels(t, {}, systemClock, ...transports)
    const senders = await joinAll(channels, SENDERS)
    const present = new Set<PollingClient>()
    /** Which receivers have been sent data of a request: only who has accepted it can be. */
    const readBy = new Map<Hex, Set<PollingClient>>()
    const deaths = new Map<Stage, number>(STAGES.map(stage => [stage, 0]))
    const over = new AbortController()

    async function serve (): Promise<void> {
      while (!over.signal.aborted) {
        const receiver = new PollingClient(await channels.join())
        present.add(receiver)
        const lifetime = 1 + random(60)
        for (let served = 0; served < lifetime && !over.signal.aborted && !receiver.raw.isClosed; served++) {
          const dying = served === lifetime - 1 ? STAGES[random(STAGES.length)] : undefined
          await receiver.receive(echo, (request, stage) => {
            if (stage === 'read') readBy.set(request, (readBy.get(request) ?? new Set()).add(receiver))
            if (stage === dying) deaths.set(stage, (deaths.get(stage) ?? 0) + 1)
            return stage !== dying
          }).catch(error => { if (!receiver.raw.isClosed) throw error })
        }
        receiver.raw.socket.destroy()
        present.delete(receiver)
      }
    }

    const serving = Array.from({ length: 8 }, serve)
    let replies = 0
    let errors = 0
    let wrong = 0
    await Promise.all(senders.map(async (sender, place) => {
      for (let n = 0; n < requests; n++) {
        const reply = await sender.send(`${place}/${n}`)
        if (reply === null) errors++
        else if (reply === `${place}/${n}-echo`) replies++
        else wrong++
      }
    }))
    over.abort()
    t.same([replies + errors, wrong], [SENDERS * requests, 0])
    t.ok(errors > 0 && [...deaths.values()].every(count => count > 0), `${errors} errors, deaths: ${JSON.stringify([...deaths])}`)
    t.match(channels.broker.tally, { opened: SENDERS * requests, completed: replies, failed: errors, timedOut: 0, invalid: 0 })
    t.ok(channels.broker.tally.requeued > 0)
    t.same([...readBy.values()].filter(readers => readers.size > 1), [], 'nothing accepted was given to a second receiver')
    for (const sender of senders) if (!await sender.raw.isQuiet()) t.fail('more than one answer')
    t.same(senders.flatMap(({ strays }) => strays), [])
    await until(() => channels.broker.figures().requests === 0)
    for (const { raw } of [...senders, ...present]) raw.socket.destroy()
    await Promise.all(serving)
    await until(channels.isEmpty)
  })
}
