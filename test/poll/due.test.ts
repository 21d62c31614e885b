import t from 'tap'
import { connect } from '../support.ts'
import { LOOK, payloads, poll, startWatched, untilParked } from './parked.ts'

const QUEUES = 15

// Lateness is what the machine makes of it; only the best of many says something about us.
for (const [what, options] of Object.entries({ 'delayed messages': { delayedProcessing: 1 }, 'debounced messages': { windowBuffer: 1 } })) {
  t.test(`${what} arrive when they are due, without looking for them in between`, async t => {
    const { service, proxy } = await startWatched(t)
    const names = Array.from({ length: QUEUES }, (_, i) => `q${i}`)
    for (const queue of names) await service.call('POST', '/api/v1/configure', { queue, options })
    const polls = names.map(queue => {
      const begun = poll(service, queue, 60_000)
      return begun.answer.then(answer => ({ answer, at: Date.now() }))
    })
    await untilParked(service, QUEUES, proxy)
    const before = proxy.count(LOOK)
    for (const queue of names) await service.push([{ queue, payload: queue }])
    const arrivals = await Promise.all(polls)
    const lateness = arrivals.map(({ answer, at }) => at - (Date.parse(answer.json.messages[0].createdAt) + 1000))
    t.same(arrivals.map(({ answer }) => payloads(answer)), names.map(queue => [queue]))
    t.ok(Math.min(...lateness) >= -1, 'none before its time')
    t.ok(Math.min(...lateness) <= 50, `the first was ${Math.min(...lateness)} ms late`)
    // One look when it is pushed, one when it is due; a timer may fire a moment early, which costs another.
    const looks = proxy.count(LOOK) - before
    t.ok(looks <= 4 * QUEUES, `${looks} looks for ${QUEUES} messages`)
  })
}

t.test('partitions that are not due do not hold up the one that is', async t => {
  const { service } = await startWatched(t)
  const sql = connect(t, service.databaseUrl)
  await service.call('POST', '/api/v1/configure', { queue: 'q', options: { delayedProcessing: 3600 } })
  await service.push(Array.from({ length: 200 }, (_, i) => ({ queue: 'q', partition: `young${i}`, payload: 'young' })))
  await service.push([{ queue: 'q', partition: 'old', payload: 'old' }])
  await sql`update regent.segments set created_at = created_at - interval '2 hours'
    where partition_id = (select id from regent.partitions where name = 'old')`
  t.same(payloads(await poll(service, 'q?batch=10&partitions=300').answer), ['old'])
})
