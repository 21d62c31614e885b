import t from 'tap'
import { HashTable } from '../../../services/log/hash-table.ts'

function find (table: HashTable, hash: number): number[] {
  return [...table.find(hash)].sort((a, b) => a - b)
}

t.test('finds every position that was added under a hash, through growth', async t => {
  const table = new HashTable()
  const model = new Map<number, Set<number>>()
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed % below
  }
  // Few distinct low and high halves, so that chains are long, run into one another and wrap around.
  const hashes = Array.from({ length: 3000 }, () => random(50) * 2 ** 32 + random(64))
  for (const [i, hash] of hashes.entries()) {
    const position = 1 + random(4) + Math.floor(i / 10)
    table.add(hash, position)
    const key = hash === 0 ? 1 : hash
    model.set(key, (model.get(key) ?? new Set()).add(position))
  }
  for (const [hash, positions] of model) t.same(find(table, hash), [...positions].sort((a, b) => a - b), String(hash))
  for (let i = 0; i < 100; i++) t.same(find(table, 1000 + i), [], 'what was never added')
  t.ok((table.capacity & (table.capacity - 1)) === 0, 'a power of two')
})

t.test('grows before it is full, and not for what it holds already', async t => {
  const table = new HashTable()
  t.equal(table.capacity, 8)
  for (let i = 0; i < 100; i++) table.add(5, 1)
  t.equal(table.capacity, 8)
  t.same(find(table, 5), [1])
  for (let i = 1; i <= 1000; i++) table.add(i, i)
  t.ok(table.capacity * 3 >= 1000 * 4 && table.capacity <= 4096)
  t.same(find(table, 5), [1, 5])
})

t.test('keeps hash 0, which looks like a free slot', async t => {
  const table = new HashTable()
  t.same(find(table, 0), [])
  table.add(0, 3)
  t.same(find(table, 0), [3])
})
