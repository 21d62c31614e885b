import { createHash } from 'node:crypto'
import t from 'tap'
import { hashId } from '../../../services/log/hash.ts'

const COUNT = 50_000

/** The ids that clients make: counters, UUIDs, and long texts that differ in one place. */
const FAMILIES: Record<string, (i: number) => string> = {
  counters: i => String(i),
  'prefixed counters': i => `order-2026-01-31-${i}`,
  'counters before a suffix': i => `${i}-of-a-long-and-constant-suffix-that-follows`,
  uuids: i => createHash('md5').update(String(i)).digest('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
  'a single astral character': i => String.fromCodePoint(0x10000 + i),
  'repeated characters': i => 'a'.repeat(1 + i % 500) + Math.floor(i / 500)
}

t.test('is a stable whole number of 53 bits', async t => {
  // Stored with every segment: a change of these values lets duplicates through.
  t.same(['', 'a', 'b', 'order-1', '\u{1f389}'].map(hashId), [2147792085250765, 2660237332483588, 817318882013060, 4586733631667922, 4640662787991410])
  for (let i = 0; i < 1000; i++) {
    const hash = hashId(`id${i}`)
    t.ok(Number.isSafeInteger(hash) && hash >= 0)
  }
})

for (const [name, make] of Object.entries(FAMILIES)) {
  t.test(`spreads ${name} evenly and without collisions`, async t => {
    const seen = new Set<number>()
    // 53 bits: so many random values collide with a probability of one in ten million.
    const bits = new Array<number>(53).fill(0)
    for (let i = 0; i < COUNT; i++) {
      const hash = hashId(make(i))
      seen.add(hash)
      const low = hash >>> 0
      const high = (hash - low) / 2 ** 32
      for (let bit = 0; bit < 53; bit++) bits[bit] = (bits[bit] ?? 0) + ((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1)
    }
    t.equal(seen.size, COUNT)
    for (const [bit, ones] of bits.entries()) {
      // Half of them, within ten standard deviations.
      t.ok(Math.abs(ones - COUNT / 2) < 10 * Math.sqrt(COUNT) / 2, `bit ${bit}: ${ones}`)
    }
  })
}
