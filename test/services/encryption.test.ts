import { createSecretKey } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { KeyRing } from '../../services/encryption/key-ring.ts'
import { readKeys } from '../../services/encryption/keys.ts'
import { isSealed, openLine, sealLine } from '../../services/encryption/sealed-line.ts'
import { messageLine } from '../../services/log/line.ts'

const OLD = '11'.repeat(32)
const NEW = 'a2'.repeat(32)
const PLACE = { queue: 'orders', partition: 'Default' }
const FOUND = { ...PLACE, id: 'the-id' }
const AT = ',"data":'

function ring (encryptionKeys?: string, encryptionKey?: string): KeyRing {
  return new KeyRing(readKeys({ encryptionKey, encryptionKeys }))
}

function line (payload: string, transactionId = 't-1'): string {
  return messageLine(JSON.stringify(transactionId), null, null, payload)
}

function envelopeOf (sealed: string): Record<string, string> {
  return JSON.parse(sealed).data as Record<string, string>
}

/** The same line with some of its envelope changed. */
function tampered (sealed: string, change: Record<string, unknown>): string {
  return sealed.slice(0, sealed.indexOf(AT) + AT.length) + JSON.stringify({ ...envelopeOf(sealed), ...change }) + ',"sealed":1}'
}

const PAYLOADS = [
  '9007199254740993', '1', '-0.10e+2', '"sealed"', 'null', '{"a":1,"a":2,"__proto__":{}}', '"\\ud800 \\u0000 \u{1f389}\u2028"',
  '[1 , 2,\t3]', '{"sealed":1}', '[{"sealed":1}]', '",\\"sealed\\":1"', '{"data":{"encrypted":"","iv":"","authTag":"","kid":"old","v":2},"sealed":1}',
  `"${'x'.repeat(200_000)}"`
]

t.test('a sealed line shows everything but the payload, and opens to the very text that was sealed', async t => {
  const keys = ring(`old:${OLD}`)
  for (const [i, payload] of PAYLOADS.entries()) {
    const plain = messageLine(JSON.stringify('a",\\"data\\":\u{1f389}'), '0198f1e2-0000-7000-8000-000000000001', 'some "one"', payload)
    t.notOk(isSealed(plain), `payload ${i}`)
    t.equal(openLine(keys, FOUND, plain), plain, 'a plain line stays as it is')
    const sealed = sealLine(keys, PLACE, plain)
    t.ok(isSealed(sealed))
    t.notOk(sealed.includes('\n'))
    t.equal(openLine(keys, FOUND, sealed), plain)
    const { data, ...rest } = JSON.parse(sealed)
    t.same(rest, { transactionId: 'a",\\"data\\":\u{1f389}', traceId: '0198f1e2-0000-7000-8000-000000000001', producerSub: 'some "one"', sealed: 1 })
    t.same([Object.keys(data), data.kid, data.v, Buffer.from(data.iv, 'base64').length, Buffer.from(data.authTag, 'base64').length],
      [['encrypted', 'iv', 'authTag', 'kid', 'v'], 'old', 2, 12, 16])
    t.equal(Buffer.from(data.encrypted, 'base64').length, Buffer.byteLength(payload), 'nothing but the payload is in it')
  }
})

t.test('no two envelopes are alike, not even of equal messages', async t => {
  const keys = ring(`old:${OLD}`)
  const envelopes = Array.from({ length: 100 }, () => envelopeOf(sealLine(keys, PLACE, line('1'))))
  t.equal(new Set(envelopes.map(({ iv }) => iv)).size, 100)
})

t.test('an envelope that was moved to another message, partition or queue does not open', async t => {
  const keys = ring(`old:${OLD}`)
  const sealed = sealLine(keys, PLACE, line('"secret"', 't-1'))
  for (const place of [{ ...FOUND, queue: 'others' }, { ...FOUND, partition: 'p' }, { ...FOUND, queue: 'orders\0Default', partition: '' }]) {
    t.throws(() => openLine(keys, place, sealed), { code: 'RGT_MESSAGE_UNREADABLE' })
  }
  t.throws(() => openLine(keys, FOUND, sealed.replace('"t-1"', '"t-2"')), { code: 'RGT_MESSAGE_UNREADABLE' })
  t.equal(openLine(keys, { ...FOUND, id: 'other' }, sealed), line('"secret"'), 'the id is for messages only')
})

t.test('an envelope that was changed does not open', async t => {
  const keys = ring(`old:${OLD}`)
  const sealed = sealLine(keys, PLACE, line('"secret"'))
  const { encrypted = '', iv = '', authTag = '' } = envelopeOf(sealed)
  const flipped = (text: string): string => {
    const bytes = Buffer.from(text, 'base64')
    bytes[0] = (bytes[0] ?? 0) ^ 1
    return bytes.toString('base64')
  }
  for (const change of [
    { encrypted: flipped(encrypted) }, { encrypted: '' }, { iv: flipped(iv) }, { iv: '' }, { authTag: flipped(authTag) }, { authTag: '' },
    // A tag cut short is a tag for some ciphers.
    { authTag: Buffer.from(authTag, 'base64').subarray(0, 4).toString('base64') },
    { kid: undefined }, { kid: 'new\nline' }, { v: 1 }, { v: undefined }, { encrypted: 5 }, { iv: null }, { authTag: [] }
  ]) {
    t.throws(() => openLine(keys, FOUND, tampered(sealed, change)), { code: 'RGT_MESSAGE_UNREADABLE', status: 500, retryable: false }, JSON.stringify(change))
  }
  for (const data of ['null', '1', '"x"', '[]', '{', '']) {
    t.throws(() => openLine(keys, FOUND, line(data).slice(0, -1) + ',"sealed":1}'), { code: 'RGT_MESSAGE_UNREADABLE' }, data)
  }
  t.equal(openLine(keys, FOUND, tampered(sealed, {})), line('"secret"'), 'what was put together again unchanged does open')
})

t.test('the first key seals, all of them open, and the single key opens besides', async t => {
  const before = ring(undefined, OLD)
  const during = ring(`new-1:${NEW}`, OLD)
  const after = ring(`new-1:${NEW}`)
  const sealedBefore = sealLine(before, PLACE, line('1'))
  const sealedDuring = sealLine(during, PLACE, line('2'))
  t.equal(envelopeOf(sealedBefore).kid, '02d449a3', 'the first 8 digits of the SHA-256 of the key')
  t.equal(envelopeOf(sealedDuring).kid, 'new-1')
  t.equal(openLine(during, FOUND, sealedBefore), line('1'))
  t.equal(openLine(during, FOUND, sealedDuring), line('2'))
  t.equal(openLine(after, FOUND, sealedDuring), line('2'))
  t.throws(() => openLine(after, FOUND, sealedBefore), {
    code: 'RGT_MESSAGE_UNREADABLE', message: 'Message the-id of queue orders, partition Default: there is no key with the kid 02d449a3 here'
  })
  t.equal(openLine(ring(`new-1:${NEW},02d449a3:${OLD}`), FOUND, sealedBefore), line('1'), 'the single key may be named in a ring by its kid')
})

t.test('errors name the place and the kid, and nothing that is secret', async t => {
  const sealed = sealLine(ring(`k:${OLD}`), PLACE, line('"plaintext"'))
  for (const keys of [ring(`k:${NEW}`), ring(`other:${OLD}`), ring()]) {
    try {
      openLine(keys, FOUND, sealed)
      t.fail('must not open')
    } catch (error) {
      const shown = inspect(error, { depth: 10, showHidden: true }) + String((error as Error).stack)
      for (const part of ['the-id', 'orders', 'Default', 'kid k']) t.ok((error as Error).message.includes(part), part)
      for (const secret of [OLD, NEW, 'plaintext', envelopeOf(sealed).encrypted ?? '']) t.notOk(shown.includes(secret))
    }
  }
  for (const secret of [NEW, Buffer.from(NEW, 'hex').toString('base64')]) t.notOk(inspect(ring(`k:${NEW}`), { depth: 10, showHidden: true }).includes(secret))
})

t.test('nothing is sealed without a key', async t => {
  t.equal(ring().canSeal, false)
  t.throws(() => sealLine(ring(), PLACE, line('1')), { code: 'RGT_ENCRYPTION_KEY_MISSING', status: 500, retryable: false, message: /orders/ })
  t.equal(new KeyRing([{ kid: 'k', key: createSecretKey(OLD, 'hex') }]).canSeal, true)
})
