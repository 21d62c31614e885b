import t from 'tap'
import { examples, NOWHERE } from './examples.ts'
import { isDescribed, mutantsOf } from './mutants.ts'
import type { Mutant } from './mutants.ts'
import { startDescribed } from './service.ts'

const AT_ONCE = 6
/** What only the words of the description say: that one of two parameters is needed, and that all messages of a transaction count together. */
const SAID_IN_WORDS = [/^popLabelled (without namespace|namespace=""): 400/, /^transact operations\[0\]\.items: \[\{.*At most/]

t.test('what is described is what is taken', async t => {
  const service = await startDescribed(t, { MAX_ITEMS: '3', MAX_BATCH_SIZE: '5', CHANNELS_DEFAULT_TIMEOUT: '20' })
  const { contract } = service
  const good = examples(NOWHERE)
  t.same(Object.keys(good).sort(), contract.operations.map(({ operationId }) => operationId).sort(), 'there is an example of every operation')

  const wrong: string[] = []
  let taken = 0
  let refused = 0
  const check = async (operationId: string, mutant: Mutant): Promise<void> => {
    const { status, json } = await service.call(operationId, mutant)
    const label = `${operationId} ${mutant.label}`
    const isTaken = status !== 400
    if (isTaken) taken++
    else refused++
    if (isTaken !== isDescribed(contract, service.operation(operationId), mutant)) wrong.push(`${label}: ${status} ${json?.error ?? ''}`)
    else if (!isTaken && json.code === 'RGT_FIELD_INVALID' && !isAbout(json.field, mutant)) wrong.push(`${label}: names ${json.field}`)
  }
  const all = function * (): Generator<() => Promise<void>> {
    for (const operation of contract.operations) {
      const { operationId } = operation
      const example = good[operationId] ?? {}
      yield async () => { await check(operationId, { ...example, field: '', label: 'as it is' }) }
      for (const mutant of mutantsOf(operation, example)) yield async () => { await check(operationId, mutant) }
    }
  }
  const steps = all()
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const step of steps) await step()
  }))
  t.same(wrong.filter(fault => !SAID_IN_WORDS.some(words => words.test(fault))), [], 'requests are refused that are not described, and no others')
  t.same([...service.wrong], [], 'what they are answered is described')
  t.ok(taken > 500 && refused > 500, `${taken} were taken and ${refused} refused`)
})

/** Whether an error names what was changed, or what that is part of or has in it; for what is missing, also what might stand in its place. */
function isAbout (named: string, { field, label }: Mutant): boolean {
  const place = label.startsWith('without') ? field.slice(0, Math.max(field.lastIndexOf('.'), 0)) : field
  return named.startsWith(place) || place.startsWith(named)
}
