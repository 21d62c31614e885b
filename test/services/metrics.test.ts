import t from 'tap'
import { timeRange } from '../../services/analytics/range.ts'
import { FieldError } from '../../services/json/field-error.ts'
import { isTime } from '../../services/json/time.ts'
import { Counters, OTHER_QUEUES } from '../../services/metrics/counters.ts'
import { Exposition } from '../../services/metrics/exposition.ts'
import { Figures } from '../../services/metrics/figures.ts'
import { addBatch, packBatches } from '../../services/metrics/packets.ts'
import type { Batch } from '../../services/metrics/packets.ts'
import { Tally } from '../../services/metrics/tally.ts'
import type { Acknowledgement, AckResult, StoredMessage } from '../../services/queue/types.ts'
import { parseExposition, valueOf } from '../routes/metrics-text.ts'

const IDENTITY = { hostname: 'h', workerId: 'w-7', worker: 7, pid: 1, port: 80 }

function pushed (queue: string, status: StoredMessage['status'] = 'queued'): StoredMessage {
  return { status, queue, transactionId: 't', traceId: null, partitionId: 1, position: 1 }
}

function acked (queue: string | null, success: boolean, dlq = false): AckResult {
  return { transactionId: 't', success, error: null, queue, partition: 'p', leaseReleased: null, dlq }
}

function ack (status: Acknowledgement['status']): Acknowledgement {
  return { transactionId: 't', partitionId: 'p', group: 'g', status, leaseId: null, error: '' }
}

t.test('a request counts once per queue, its messages where they are', async t => {
  const counters = new Counters()
  counters.pushed([pushed('a'), pushed('b'), pushed('a'), pushed('a', 'duplicate')], 1)
  counters.pushed([], 1)
  const { process, queues } = counters.take()
  t.match(process, { pushRequests: 1, pushMessages: 3 })
  t.match(queues.get('a'), { pushRequests: 1, pushMessages: 2 })
  t.match(queues.get('b'), { pushRequests: 1, pushMessages: 1 })
  t.match(counters.take().process, { pushRequests: 0 }, 'what was taken is not there any more')
  t.match(counters.sinceStart(), { pushRequests: 1, pushMessages: 3 })
})

t.test('acknowledgements succeed when they complete a message; those of no queue count for the process', async t => {
  const counters = new Counters()
  counters.acked([ack('completed'), ack('failed'), ack('dlq'), ack('completed'), ack('completed')],
    [acked('a', true), acked('a', true), acked('a', true, true), acked(null, false), acked('b', false)], 1)
  const { process, queues } = counters.take()
  t.match(process, { ackRequests: 1, ackSuccess: 1, ackFailed: 4, deadLetters: 1 })
  t.match(queues.get('a'), { ackRequests: 1, ackSuccess: 1, ackFailed: 2, deadLetters: 1 })
  t.match(queues.get('b'), { ackRequests: 1, ackSuccess: 0, ackFailed: 1 })
  t.same([...queues.keys()], ['a', 'b'])
})

t.test('deliveries count what they hold, without what was acknowledged before, and how old it is', async t => {
  const counters = new Counters()
  const request = { target: { queue: null, partition: null, namespace: 'n', task: null }, group: 'g', batch: 1, partitions: 1, autoAck: false, subscription: { mode: 'all' as const }, waitMs: 0 }
  const run = { partitionId: 1, partition: 'p', groupId: 1, body: '', attempts: null }
  const aged = (ms: number): string => new Date(Date.now() - ms).toISOString().replace('Z', '000Z')
  counters.popped(request, {
    queue: 'a',
    namespace: 'n',
    task: '',
    leaseId: 'l',
    runs: [{ ...run, first: 1, last: 10, skip: '{[2,4),[10,20)}', createdAt: aged(10_000) }, { ...run, first: 11, last: 11, skip: null, createdAt: aged(-60_000) }]
  })
  counters.popped(request, null)
  counters.popped({ ...request, target: { ...request.target, queue: 'b' } }, null)
  const { process, queues } = counters.take()
  t.match(process, { popRequests: 3, popEmpty: 2, popMessages: 8, lagCount: 8, ackSuccess: 0 })
  t.ok(process.lagSumMs >= 70_000 && process.lagSumMs < 700_000)
  t.ok(process.lagMaxMs >= 10_000 && process.lagMaxMs < 100_000)
  t.match(queues.get('a'), { popRequests: 1, popMessages: 8 })
  t.match(queues.get('b'), { popRequests: 1, popEmpty: 1, popMessages: 0 })
})

t.test('there is an end to the names that are counted apart', async t => {
  const counters = new Counters()
  for (let i = 0; i < 10_005; i++) counters.pushed([pushed(`q${i}`)], 0)
  counters.pushed([pushed('q3')], 0)
  const { process, queues } = counters.take()
  t.equal(queues.size, 10_001)
  t.equal(queues.get(OTHER_QUEUES)?.pushMessages, 5)
  t.equal(queues.get('q3')?.pushMessages, 2)
  t.equal(process.pushMessages, 10_006)
  counters.pushed([pushed('q10003')], 0)
  t.equal(counters.take().queues.get('q10003')?.pushMessages, 1, 'the next stretch starts anew')
})

function batch (bucketMs: number, queues: Record<string, number>, sample = 1): Batch {
  const tallies = new Map(Object.entries(queues).map(([queue, messages]) => [queue, Object.assign(new Tally(), { pushMessages: messages })]))
  const process = new Tally()
  for (const tally of tallies.values()) process.add(tally)
  const figures = new Figures()
  figures.take({ f: sample })
  return { bucketMs, process, queues: tallies, figures }
}

t.test('minutes that cannot be written are few, and lose nothing', async t => {
  const batches: Batch[] = []
  for (let minute = 0; minute < 20; minute++) addBatch(batches, batch(minute * 60_000, { a: 1, [`q${minute}`]: 2 }, minute))
  addBatch(batches, batch(19 * 60_000, { a: 5 }, -1))
  t.equal(batches.length, 5)
  t.same(batches.map(({ bucketMs }) => bucketMs / 60_000), [0, 16, 17, 18, 19])
  const [packet] = packBatches(batches, IDENTITY, 8)
  const queues = JSON.parse(packet?.queues ?? '') as { queue: string, push_messages: number, bucket: string, worker: number }[]
  t.equal(queues.reduce((sum, row) => sum + row.push_messages, 0), 20 * 3 + 5)
  t.match(queues[0], { queue: 'a', push_messages: 16, bucket: '1970-01-01T00:00:00.000Z', worker: 7 })
  t.match(JSON.parse(packet?.totals ?? ''), { push_messages: 65, db_errors: 0 })
  const workers = JSON.parse(packet?.workers ?? '') as { samples: number, figures: object }[]
  t.equal(workers.reduce((sum, row) => sum + row.samples, 0), 21)
  t.same(workers.at(-1)?.figures, { f: { sum: 18, min: -1, max: 19, last: -1 } })
})

t.test('writes are of bounded size and numbered', async t => {
  const many = Object.fromEntries(Array.from({ length: 2500 }, (_, i) => [`q${i}`, 1]))
  const packets = packBatches([batch(0, many)], IDENTITY, 5)
  t.same(packets.map(({ seq, queues, workers, totals }) => [seq, (JSON.parse(queues) as unknown[]).length, (JSON.parse(workers) as unknown[]).length, totals !== '{}']),
    [[5, 1000, 1, true], [6, 1000, 0, false], [7, 500, 0, false]])
  t.same(packBatches([], IDENTITY, 5), [])
})

t.test('ranges: what is left out, what is without a zone, how wide their buckets are', async t => {
  const now = Date.parse('2026-03-04T05:06:07.008Z')
  t.same(timeRange(null, null, undefined, now), { from: '2026-03-04T04:06:07.008Z', to: '2026-03-04T05:06:07.008Z', bucketMinutes: 1 })
  t.same(timeRange(null, '2026-01-02', 86_400_000, now), { from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z', bucketMinutes: 15 })
  const times = {
    '2026-01-02': '2026-01-02T00:00:00.000Z',
    '2026-01-02T03:04': '2026-01-02T03:04:00.000Z',
    '2026-01-02 03:04:05': '2026-01-02T03:04:05.000Z',
    '2026-01-02T03:04:05.678901234Z': '2026-01-02T03:04:05.678Z',
    '2026-01-02T03:04+02': '2026-01-02T01:04:00.000Z',
    '2026-01-02T03:04:05-0130': '2026-01-02T04:34:05.000Z',
    '2026-01-02 03:04:05.5+15:45': '2026-01-01T11:19:05.500Z',
    '9999-12-31T23:59:59-15:59': '9999-12-30T00:00:00.000Z',
    '0001-01-01T00:00:00+15:59': '0001-01-02T00:00:00.000Z'
  }
  for (const [text, iso] of Object.entries(times)) {
    t.ok(isTime(text), text)
    t.equal(timeRange(text, text).from, iso, text)
  }
  t.throws(() => timeRange('2026-01-02', '2026-01-01'), new FieldError('from', 'range', 'from: From must not be after to'))
})

t.test('the text for scrapers can be read by a strict reader, whatever labels hold', async t => {
  const exposition = new Exposition()
  exposition.add('none', 'gauge', 'left out', [])
  const nasty = ['\\', '"', '\n', 'a\\nb', '{}', '="', ',', ' 1\n# TYPE x counter', 'ü😀', '']
  exposition.add('some_total', 'counter', 'help', nasty.map((label, i) => [{ label, other: 1 }, i]))
  exposition.add('plain', 'gauge', 'help', [[{}, 1e21]])
  const families = parseExposition(exposition.toString())
  t.same([...families.keys()], ['some_total', 'plain'])
  for (const [i, label] of nasty.entries()) t.equal(valueOf(families, 'some_total', { label, other: '1' }), i)
  t.equal(valueOf(families, 'plain'), 1e21)
})
