import t from 'tap'
import { FieldError } from '../../../services/json/field-error.ts'
import { checkName, checkUuid, nameFault } from '../../../services/json/names.ts'

const PARTY = '\u{1f389}'

t.test('accepts names up to 255 code points', async t => {
  for (const name of ['a', ' ', '../x', '__proto__', 'é', 'a'.repeat(255), PARTY.repeat(255)]) {
    t.equal(nameFault(name), null)
    checkName(name, 'queue')
  }
})

t.test('refuses a name that cannot be stored and names the field, not the value', async t => {
  const faults = [
    ['', 'empty', 'must not be empty'],
    ['a'.repeat(256), 'too_long', 'must be at most 255 characters'],
    [PARTY.repeat(255) + 'a', 'too_long', 'must be at most 255 characters'],
    ['a'.repeat(511), 'too_long', 'must be at most 255 characters'],
    ['a\0', 'nul', 'must not contain a NUL character'],
    ['a\ud800', 'unpaired_surrogate', 'must not contain an unpaired surrogate']
  ] as const
  for (const [name, reason, predicate] of faults) {
    const field = 'items[0].transactionId'
    t.throws(() => checkName(name, field), new FieldError(field, reason, `${field}: TransactionId ${predicate}`))
    t.throws(() => checkName(name, 'queue'), { field: 'queue', reason, message: `queue: Queue ${predicate}` })
  }
})

t.test('gives a UUID back in lower case', async t => {
  t.equal(checkUuid('0190A0B2-7c3d-7E4F-8a5b-0123456789AB', 'traceId'), '0190a0b2-7c3d-7e4f-8a5b-0123456789ab')
  for (const text of [
    '', 'x', '0190a0b27c3d7e4f8a5b0123456789ab', '{0190a0b2-7c3d-7e4f-8a5b-0123456789ab}',
    '0190a0b2-7c3d-7e4f-8a5b-0123456789ab\n', ' 0190a0b2-7c3d-7e4f-8a5b-0123456789ab', '0190a0b2-7c3d-7e4f-8a5b-0123456789ag'
  ]) {
    t.throws(() => checkUuid(text, 'traceId'), {
      name: 'FieldError', field: 'traceId', reason: 'not_a_uuid', message: 'traceId: TraceId must be a UUID'
    })
  }
})
