import t from 'tap'
import { RegentError } from '../../../services/errors.ts'
import type { ErrorCode } from '../../../services/errors.ts'
import { retryWhileAway } from '../../../services/lanes/retry.ts'

/** An operation that fails with these codes, one after the other, and then succeeds. */
function failing (codes: readonly ErrorCode[]): { run: () => Promise<string>, calls: () => number } {
  let calls = 0
  return {
    run: async () => {
      const code = codes[calls++]
      if (code !== undefined) throw new RegentError(code)
      return 'done'
    },
    calls: () => calls
  }
}

t.test('an operation is repeated while the database is away or the outcome is unknown', async t => {
  const operation = failing(['RGT_DATABASE_AWAY', 'RGT_OUTCOME_UNKNOWN', 'RGT_DATABASE_AWAY'])
  t.equal(await retryWhileAway(operation.run), 'done')
  t.equal(operation.calls(), 4)
})

t.test('what is not to be repeated after an unknown outcome is not', async t => {
  const operation = failing(['RGT_OUTCOME_UNKNOWN'])
  await t.rejects(retryWhileAway(operation.run, { afterUnknown: false }), { code: 'RGT_OUTCOME_UNKNOWN' })
  t.equal(operation.calls(), 1)
})

t.test('an outcome that was unknown stays so when the database cannot be asked again', async t => {
  for (const last of ['RGT_DATABASE_AWAY', 'RGT_DATABASE_BUSY', 'RGT_DATABASE_SLOW', 'RGT_SHUTTING_DOWN'] as const) {
    const operation = failing(['RGT_OUTCOME_UNKNOWN', ...Array<typeof last>(100).fill(last)])
    await t.rejects(retryWhileAway(operation.run, { keepTryingMs: 200 }), { code: 'RGT_OUTCOME_UNKNOWN' }, last)
  }
})

t.test('what the database says about the operation itself is passed on', async t => {
  await t.rejects(retryWhileAway(failing(['RGT_OUTCOME_UNKNOWN', 'RGT_QUEUE_FULL']).run), { code: 'RGT_QUEUE_FULL' })
  await t.rejects(retryWhileAway(failing(Array<ErrorCode>(100).fill('RGT_DATABASE_AWAY')).run, { keepTryingMs: 200 }), { code: 'RGT_DATABASE_AWAY' })
})
