// Random histories against a model; see histories/history.ts. One is run again by its seed:
//   REGENT_HISTORY_SEED=<seed> node scripts/test.mjs test/fault/histories.test.ts
// More of them: REGENT_HISTORY_COUNT=<histories> or REGENT_HISTORY_SECONDS=<at least so long>.
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runHistory } from './histories/history.ts'

const SEED = process.env.REGENT_HISTORY_SEED ?? String(randomInt(1e9))
const SECONDS = Number(process.env.REGENT_HISTORY_SECONDS ?? 0)
const COUNT = Number(process.env.REGENT_HISTORY_COUNT ?? (SECONDS > 0 ? Infinity : 2))
const STEPS = Number(process.env.REGENT_HISTORY_STEPS ?? 60)
// Folder for what happened in histories that went wrong.
const TRACE = process.env.REGENT_HISTORY_TRACE

// As many as were asked for take as long as they do.
const TIMEOUT_MS = COUNT > 2 || SECONDS > 0 || STEPS > 60 ? 0 : 240_000
t.setTimeout(TIMEOUT_MS)

t.test('what clients were told and what the database holds agree, whatever happened', async t => {
  t.setTimeout(TIMEOUT_MS)
  const operations = new Map<string, number>()
  const made = new Map<string, number>()
  const endAt = SECONDS > 0 ? performance.now() + SECONDS * 1000 : Infinity
  let histories = 0
  try {
    for (; histories < COUNT && performance.now() < endAt; histories++) {
      const seed = histories === 0 ? SEED : `${SEED}.${histories}`
      await t.test(`seed ${seed}`, async t => {
        t.setTimeout(TIMEOUT_MS)
        const { world, faults } = await runHistory(t, seed, { steps: STEPS })
        for (const [kind, count] of world.operations) operations.set(kind, (operations.get(kind) ?? 0) + count)
        for (const [kind, count] of world.made) made.set(kind, (made.get(kind) ?? 0) + count)
        if (faults.length > 0 && TRACE !== undefined) writeFileSync(join(TRACE, `${seed}.txt`), [...faults, '', ...world.trace].join('\n'))
        t.strictSame(faults.slice(0, 20), [], `${faults.length} disagreements; REGENT_HISTORY_SEED=${seed} runs it again`)
      })
    }
  } finally {
    process.stderr.write(`seed ${SEED}: ${histories} histories; operations: ${listOf(operations)}; faults: ${listOf(made)}\n`)
  }
})

function listOf (counts: ReadonlyMap<string, number>): string {
  return [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([kind, count]) => `${kind} ${count}`).join(', ') || 'none'
}
