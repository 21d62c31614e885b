import t from 'tap'
import { decodeUtf8, isStorableText, isWellFormed, singleLine } from '../../../services/json/text.ts'

t.test('puts each line break on one blank and touches nothing else', async t => {
  t.equal(singleLine('{"a":1}'), '{"a":1}')
  t.equal(singleLine('{\r\n\t"a":1,\n\n"b":"\\n\\r"\r}'), '{  \t"a":1,  "b":"\\n\\r" }')
  t.equal(singleLine('[\r]'), '[ ]')
  t.equal(singleLine('"\u2028\u2029\u0085"'), '"\u2028\u2029\u0085"')
})

t.test('decodes UTF-8 and drops one leading byte order mark', async t => {
  const text = '{"a":"é € \u{1f389} \u0000"}'
  t.equal(decodeUtf8(Buffer.from(text)), text)
  t.equal(decodeUtf8(Buffer.from(`\ufeff${text}`)), text)
  t.equal(decodeUtf8(Buffer.from('\ufeff\ufeff1')), '\ufeff1')
  t.equal(decodeUtf8(Buffer.from('1\ufeff')), '1\ufeff')
  t.equal(decodeUtf8(Buffer.alloc(0)), '')
})

t.test('refuses bytes that are not UTF-8', async t => {
  const faults = [
    [0xff], [0x22, 0x80, 0x22], [0xc3], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x8e],
    [0xf5, 0x80, 0x80, 0x80], [0xef, 0xbb, 0xbf, 0xff]
  ]
  for (const bytes of faults) t.equal(decodeUtf8(Buffer.from(bytes)), null, Buffer.from(bytes).toString('hex'))
})

t.test('tells text that PostgreSQL can store', async t => {
  for (const text of ['', 'a', 'é', '\u{1f389}', '\u0001', '\uffff']) t.ok(isStorableText(text))
  for (const text of ['\0', 'a\0b', '\ud800', '\udc00', 'a\udc00\ud800b']) t.notOk(isStorableText(text))
  t.ok(isWellFormed('\0'))
})
