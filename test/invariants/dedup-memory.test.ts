import t from 'tap'
import { DedupWindow } from '../../services/log/dedup-window.ts'
import { startService } from '../support.ts'
import { faultsOf, pushIds, transactIds } from './ids.ts'
import type { Pushed } from './ids.ts'
import { eachAtOnce, numbers, pick, seededRandom, startPair } from './support.ts'

// The smallest budget: 65 536 slots for all windows, half of it for one.
const SMALL = { dedupMemoryMb: 1 }
// More than three quarters of the largest window's slots.
const TOO_MANY = 25_000

t.test('a partition with more ids than fit into memory is still deduplicated exactly', async t => {
  const pair = await startPair(t, SMALL)
  const answers: Pushed[] = []
  for (let from = 0; from < TOO_MANY; from += 5000) {
    answers.push(...await pushIds(pick(pair.both, from / 5000), numbers(5000).map(i => `old-${from + i}`)))
  }
  t.strictSame(faultsOf(answers), [], 'while it grew')
  const byId = new Map(answers.map(answer => [answer.transaction_id, answer.message_id]))
  // This one finds the window too large when it loads it; the others as it grew.
  const late = await startService(t, { safetyNetMs: 0, databaseUrl: pair.first.databaseUrl, ...SMALL })
  for (const service of [...pair.both, late]) {
    const again = await pushIds(service, numbers(200).map(i => `old-${i * 125}`))
    t.strictSame(again.filter(answer => answer.status !== 'duplicate' || answer.message_id !== byId.get(answer.transaction_id)), [])
  }
  const mixed: Pushed[] = []
  await eachAtOnce(numbers(120), 12, async round => {
    const service = pick([...pair.both, late], round)
    const ids = numbers(5).map(i => `new-${(round >> 2) * 3 + i}`)
    mixed.push(...await (round % 3 === 0 ? transactIds(service, ids) : pushIds(service, [`alone-${round}`, ...ids, `old-${round}`])))
  })
  t.strictSame(faultsOf(mixed.filter(answer => !answer.transaction_id.startsWith('old'))), [], 'by many at once')
  t.strictSame(mixed.filter(answer => answer.transaction_id.startsWith('old') && answer.status !== 'duplicate'), [])
  const [stored] = await pair.sql`select sum(count)::int as messages from regent.segments`
  t.same(stored, { messages: TOO_MANY + new Set(mixed.map(answer => answer.transaction_id).filter(id => !id.startsWith('old'))).size })
})

t.test('windows that are dropped for others and loaded again miss nothing', async t => {
  const pair = await startPair(t, SMALL)
  // Each takes an eighth of the budget, so every visit drops the one that was not used for longest.
  const partitions = numbers(11).map(p => `p${p}`)
  const perPartition = 4000
  await eachAtOnce(partitions, 2, async (partition, i) => {
    await pushIds(pick(pair.both, i), numbers(perPartition).map(n => `old-${n}`), partition)
  })
  const answers = new Map<string, Pushed[]>(partitions.map(partition => [partition, []]))
  const lost: Pushed[] = []
  await eachAtOnce(numbers(330), 4, async round => {
    const partition = pick(partitions, round)
    const service = pick(pair.both, Math.floor(round / 3))
    // Two lanes and two instances at once on one partition, whose window comes and goes under them.
    const ids = [`old-${(round * 37) % perPartition}`, `new-${round}`]
    const results = (await Promise.all([
      pushIds(service, ids, partition), transactIds(service, ids, partition), pushIds(pick(pair.both, round), [`new-${round}`], partition)
    ])).flat()
    lost.push(...results.filter(answer => answer.transaction_id.startsWith('old') && answer.status !== 'duplicate'))
    answers.get(partition)?.push(...results.filter(answer => answer.transaction_id.startsWith('new')))
  })
  t.strictSame(lost, [], 'what was there before is known')
  for (const [partition, list] of answers) t.strictSame(faultsOf(list), [], partition)
  const [stored] = await pair.sql`select sum(count)::int as messages from regent.segments`
  t.same(stored, { messages: partitions.length * perPartition + 330 })
})

t.test('a window in memory never misses what is inside it, whatever the hashes', async t => {
  const random = seededRandom(20_240_229)
  // Hashes that meet in one chain, differ only above 32 bits, or are the one that looks like a free slot.
  const hashes = [0, 1, 2, ...numbers(40).map(i => i * 0x100000000), ...numbers(40).map(i => i * 8), ...numbers(200).map(() => random(2 ** 31) * 2 ** 20 + random(2 ** 20))]
  const windowMs = 1000
  for (let run = 0; run < 20; run++) {
    const window = new DedupWindow(windowMs, 0, 0)
    const written: { hash: number, position: number, at: number }[] = []
    let now = 0
    let position = 1
    for (let step = 0; step < 400; step++) {
      now += random(4) === 0 ? random(700) : 0
      const segment = numbers(1 + random(5)).map(() => pick(hashes, random(hashes.length)))
      window.add(segment, position, now)
      // What another process wrote may be learnt twice.
      if (random(5) === 0) window.add(segment, position, now)
      for (const hash of segment) written.push({ hash, position: position++, at: now })
    }
    const missed = written.filter(({ hash, position, at }) => at > now - windowMs && !window.find(hash).includes(position))
    t.strictSame(missed, [], `run ${run}`)
    // 0 is kept as 1: a false suspicion, which the database clears.
    const kept = (hash: number): number => hash === 0 ? 1 : hash
    const wrong = hashes.filter(hash => window.find(hash).some(found => kept(written[found - 1]?.hash ?? -1) !== kept(hash)))
    t.strictSame(wrong, [], 'and finds nothing under a wrong hash')
    t.equal(new Set(window.find(pick(hashes, 5))).size, window.find(pick(hashes, 5)).length, 'no position twice')
  }
})

t.test('a window in memory lets go of what has long left it', async t => {
  const window = new DedupWindow(1000, 0, 0)
  for (let second = 0; second < 60; second++) window.add(numbers(1000).map(i => second * 1000 + i + 2), second * 1000 + 1, second * 1000)
  t.ok(window.capacity <= 16_384, `${window.capacity} slots`)
  t.strictSame(window.find(2), [])
  t.strictSame(window.find(59_002), [59_001])
})
