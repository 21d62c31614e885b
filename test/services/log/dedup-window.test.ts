import t from 'tap'
import { DedupWindow, parseSegmentHashes } from '../../../services/log/dedup-window.ts'

t.test('finds what was written within the window, by position', async t => {
  const window = new DedupWindow(1000, 0, 0)
  window.add([11, 22, 11], 1, 0)
  window.add([33], 4, 10)
  t.same([...window.find(11)].sort(), [1, 3])
  t.same(window.find(22), [2])
  t.same(window.find(33), [4])
  t.same(window.find(44), [])
})

t.test('never forgets what is still inside the window, however it is filled', async t => {
  const windowMs = 1000
  for (const step of [1, 7, 100, 333, 999, 1000, 1001, 2500]) {
    const window = new DedupWindow(windowMs, 0, 0)
    const written: { hash: number, at: number }[] = []
    for (let n = 1; n <= 200; n++) {
      const at = n * step
      window.add([n], n, at)
      written.push({ hash: n, at })
      const missing = written.filter(entry => entry.at >= at - windowMs && window.find(entry.hash)[0] !== entry.hash)
      if (missing.length > 0) t.fail(`step ${step}: ${missing.length} lost at ${at}`)
    }
    t.pass(`step ${step}`)
  }
})

t.test('lets go of what has long left the window', async t => {
  const window = new DedupWindow(1000, 0, 0)
  window.add(Array.from({ length: 10_000 }, (_, i) => i + 1), 1, 0)
  const full = window.capacity
  t.ok(full >= 10_000)
  window.add([77_777], 10_001, 1001)
  t.same(window.find(5), [5], 'the old generation is still looked at')
  window.add([88_888], 10_002, 2002)
  window.add([99_999], 10_003, 3003)
  t.same(window.find(5), [])
  t.ok(window.capacity < full)
})

t.test('reads the segments that the push functions report', async t => {
  t.same([...parseSegmentHashes('')], [])
  t.same([...parseSegmentHashes('1:5')], [{ first: 1, hashes: [5] }])
  t.same([...parseSegmentHashes('7:9007199254740991,0,3;10:4')], [{ first: 7, hashes: [9007199254740991, 0, 3] }, { first: 10, hashes: [4] }])
})
