import t from 'tap'
import { RegentError } from '../../services/errors.ts'
import { readEnvironment, readRegentOptions } from '../../services/options.ts'

const databaseUrl = 'postgres://localhost/x'
const A = '0123456789abcdef'.repeat(4)
const B = 'fedcba9876543210'.repeat(4)
// The first 8 digits of the SHA-256 of A's bytes.
const KID_OF_A = '4884fdaa'

/** The faults that reading reports, one a line. */
function faults (read: () => unknown): string[] {
  try {
    read()
  } catch (error) {
    if (error instanceof RegentError && error.code === 'RGT_OPTIONS_INVALID') return error.message.split('\n').slice(1).map(line => line.trim())
    throw error
  }
  return []
}

t.test('keys are taken from both variables, and from options of the same meaning', async t => {
  const { regent } = readEnvironment({ QUEEN_ENCRYPTION_KEY: A, ENCRYPTION_KEYS: `2024_a:${A},2024-B:${B.toUpperCase()}` })
  t.match(regent, { encryptionKey: A, encryptionKeys: `2024_a:${A},2024-B:${B.toUpperCase()}` })
  t.same(faults(() => readRegentOptions({ ...regent, databaseUrl })), [])
  t.match(readRegentOptions({ databaseUrl }), { encryptionKey: undefined, encryptionKeys: undefined })
  t.match(readEnvironment({ QUEEN_ENCRYPTION_KEY: '', ENCRYPTION_KEYS: '' }).regent, { encryptionKey: undefined, encryptionKeys: undefined })
  t.same(faults(() => readEnvironment({ QUEEN_ENCRYPTION_KEY: A, ENCRYPTION_KEYS: `n:${B},${KID_OF_A}:${A}` })), [], 'the same key twice')
})

t.test('faulty keys are named by their variable, all at once, and never shown', async t => {
  const wrong = [A.slice(1), A + '0', A.slice(1) + 'g', ` ${A}`, `${A}\n`, 'password', Buffer.from(A, 'hex').toString('base64')]
  for (const key of wrong) {
    const found = faults(() => readEnvironment({ QUEEN_ENCRYPTION_KEY: key, ENCRYPTION_KEYS: `k:${key}` }))
    t.match(found, [/^QUEEN_ENCRYPTION_KEY: must be 64 hexadecimal digits/, /^ENCRYPTION_KEYS: entry 1 must be kid:key/])
    t.equal(found.length, 2)
    t.notOk(found.join().includes(key))
  }
  for (const [keys, fault] of [
    [A, /^ENCRYPTION_KEYS: entry 1 /], [`:${A}`, /entry 1 /], [`k:${A},`, /entry 2 /], [`k:${A}, l:${B}`, /entry 2 /], [`${'k'.repeat(33)}:${A}`, /entry 1 /],
    [`k.1:${A}`, /entry 1 /], [`k:${A};l:${B}`, /entry 1 /], [`k:${A},k:${B}`, /entry 2 has the kid of an earlier one/]
  ] as const) {
    const found = faults(() => readEnvironment({ ENCRYPTION_KEYS: keys }))
    t.match(found, [fault], keys)
    t.notOk(found.join().includes(A))
  }
  t.match(faults(() => readRegentOptions({ databaseUrl, encryptionKey: 'x', encryptionKeys: 7 })), [/^encryptionKey: /, /^encryptionKeys: must be text/])
})

t.test('one kid cannot mean two keys', async t => {
  const both = { QUEEN_ENCRYPTION_KEY: A, ENCRYPTION_KEYS: `n:${A},${KID_OF_A}:${B}` }
  t.match(faults(() => readEnvironment(both)), [/^ENCRYPTION_KEYS: one of its keys has the kid of the single key/])
  t.match(faults(() => readRegentOptions({ databaseUrl, encryptionKey: A, encryptionKeys: both.ENCRYPTION_KEYS })), [/^encryptionKeys: /])
})
