import t from 'tap'
import { JsonReader, JsonSyntaxError, type JsonKind } from '../../../services/json/reader.ts'

const MAX_DEPTH = 512

/** Reads the text as one whole document and returns the value's own text. */
function readRaw (text: string, maxDepth = MAX_DEPTH): string {
  const reader = new JsonReader(text, maxDepth)
  const raw = reader.rawValue()
  reader.end()
  return raw
}

function faultOf (read: () => unknown): JsonSyntaxError {
  try {
    read()
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error
    throw error
  }
  throw new Error('the text was accepted')
}

t.test('returns every kind of value as it was written', async t => {
  const texts = [
    '0', '-0', '1', '-1', '10', '0.5', '-0.0', '1.10', '1e5', '1E5', '1e+5', '1E-05', '0e0', '1.5e300', '1e400',
    '9007199254740993', '123456789012345678901234567890.000',
    '""', '"a"', '"é"', '"\u{1f389}"', '"\u2028\u2029"', '"\u007f"', '"\ud800"',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\u0000"', '"\\uD83C\\uDF89"', '"\\ud800"', '"\\uDFFF\\uAbCd"',
    'true', 'false', 'null',
    '[]', '[ ]', '[\n]', '{}', '{ }', '{\t}', '[[]]', '[{}]', '{"a":[]}', '{"a":{}}',
    '[1,2]', '[ 1 , 2 ]', '[1,[2,[3]],4]', '{"a":1,"b":2}', '{ "a" : 1 , "b" : 2 }', '{"":""}',
    '{"b":1,"a":2,"b":3}', '{"__proto__":{"x":1},"constructor":null}', '{"\\u0061":1}',
    '[{"a":[{"b":[]}]},{}]', '[\r\n\t [ \r] ]'
  ]
  for (const text of texts) {
    t.equal(readRaw(text), text)
    t.equal(readRaw(` \t\r\n${text}\n \r\t`), text, 'blanks around are left out')
    JSON.parse(text) // the table itself holds valid JSON only
  }
})

t.test('refuses what the grammar does not allow and says where', async t => {
  const faults: Array<[text: string, position: number]> = [
    ['', 0], [' ', 1], ['\n\t', 2],
    ['01', 1], ['-', 1], ['-a', 1], ['-01', 2], ['+1', 0], ['.5', 0], ['1.', 2], ['1.e5', 2], ['1e', 2], ['1e+', 3],
    ['1e-x', 3], ['0x10', 1], ['1_000', 1], ['NaN', 0], ['Infinity', 0], ['-Infinity', 1], ['1 2', 2], ['１', 0],
    ['t', 1], ['tru', 3], ['trux', 3], ['True', 0], ['truee', 4], ['f', 1], ['fals', 4], ['falze', 3], ['n', 1],
    ['nul', 3], ['nulL', 3], ['nullnull', 4], ['undefined', 0],
    ['"', 1], ['"a', 2], ["'a'", 0], ['"\n"', 1], ['"a\tb"', 2], ['"\u0000"', 1], ['"\u001f"', 1], ['"a"b', 3],
    ['"\\', 2], ['"\\"', 3], ['"\\a"', 2], ['"\\x41"', 2], ['"\\U0041"', 2], ['"\\\n"', 2], ["\"\\'\"", 2],
    ['"\\u"', 3], ['"\\u1"', 4], ['"\\u12', 5], ['"\\u123"', 6], ['"\\u123g"', 6], ['"\\u123G"', 6], ['"\\u 123"', 3],
    ['"\\u-123"', 3], ['"\\u12é4"', 5], ['"\\u12@4"', 5], ['"\\u12`4"', 5], ['"\\u12:4"', 5], ['"\\u12/4"', 5],
    ['[', 1], ['[1', 2], ['[1,', 3], ['[1,]', 3], ['[,1]', 1], ['[,]', 1], ['[1 2]', 3], ['[1,,2]', 3], ['[1}', 2],
    ['[}', 1], ['[]]', 2], [']', 0], ['[1]1', 3], ['[1],', 3], ['[1;2]', 2], ['[:]', 1],
    ['{', 1], ['{"a"', 4], ['{"a":', 5], ['{"a":1', 6], ['{"a":1,', 7], ['{"a":1,}', 7], ['{,}', 1], ['{a:1}', 1],
    ['{1:1}', 1], ["{'a':1}", 1], ['{"a"}', 4], ['{"a",1}', 4], ['{"a":}', 5], ['{"a" 1}', 5], ['{"a":1 "b":2}', 7],
    ['{"a":1,,"b":2}', 7], ['{"a":1]', 6], ['{]', 1], ['{}}', 2], ['}', 0], ['{"a":1,2}', 7], ['{"a":1,"b"}', 10],
    ['{"a":1,"b\n":2}', 9], ['{null:1}', 1], ['{"a"::1}', 5],
    ['/* a */1', 0], ['1//', 1], ['[1,#]', 3], ['\ufeff1', 0], ['\u00a01', 0], ['\v1', 0], ['\f1', 0], ['1\u2028', 1],
    ['[\u00a0]', 1], ['1\u0000', 1]
  ]
  for (const [text, position] of faults) {
    t.throws(() => JSON.parse(text), SyntaxError, 'the table holds invalid JSON only')
    const fault = faultOf(() => readRaw(text))
    // In hexadecimal: some of these texts would mean something to the reader of the test's own output.
    t.match(fault, { name: 'JsonSyntaxError', code: 'syntax', position }, Buffer.from(text).toString('hex'))
  }
})

t.test('names the offending character and nothing else of the body', async t => {
  const messages: Array<[text: string, message: string]> = [
    ['["secret",]', "Unexpected character ']' at position 10"],
    ['{"secret":1', 'Unexpected end of JSON at position 11'],
    ['["secret\n"]', 'Unexpected character U+000A at position 8'],
    ['"secret"é', 'Unexpected character U+00E9 at position 8'],
    ['"secret"\u{1f389}', 'Unexpected character U+1F389 at position 8'],
    ['"secret"\udc00', 'Unexpected character U+DC00 at position 8'],
    ['"secret"\u007f', 'Unexpected character U+007F at position 8']
  ]
  for (const [text, message] of messages) t.equal(faultOf(() => readRaw(text)).message, message)
})

t.test('counts depth from the root of the value', async t => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  const nestedObjects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
  t.equal(readRaw(nested(500)), nested(500))
  t.equal(readRaw(nested(MAX_DEPTH)), nested(MAX_DEPTH))
  t.equal(readRaw(nestedObjects(MAX_DEPTH)), nestedObjects(MAX_DEPTH))
  t.equal(readRaw('[[],[],[[]]]', 3), '[[],[],[[]]]', 'closed brackets do not count')
  t.equal(readRaw('"a"', 0), '"a"', 'a scalar has no depth')
  t.match(faultOf(() => readRaw('[]', 0)), { code: 'depth', position: 0 })
  t.match(faultOf(() => readRaw(nestedObjects(MAX_DEPTH + 1))), { code: 'depth', position: MAX_DEPTH * 5 })
  t.match(faultOf(() => readRaw(nested(MAX_DEPTH + 1))), {
    code: 'depth', position: MAX_DEPTH, message: 'JSON nested deeper than 512 levels at position 512'
  })

  const reader = new JsonReader('{"a":[[1]]}', 2)
  reader.enterObject()
  reader.nextKey()
  t.equal(reader.rawValue(), '[[1]]', 'what the caller entered does not count')
})

t.test('a hundred thousand open brackets do not overflow the stack', async t => {
  for (const opener of ['[', '{"a":']) {
    const text = opener.repeat(100_000)
    t.equal(faultOf(() => readRaw(text)).code, 'depth')
    t.match(faultOf(() => readRaw(text, Infinity)), { code: 'syntax', position: text.length })
  }
  const balanced = '['.repeat(100_000) + ']'.repeat(100_000)
  t.equal(readRaw(balanced, 100_000).length, 200_000)
})

t.test('tells the kind of the next value without consuming it', async t => {
  const kinds: Array<[text: string, kind: JsonKind]> = [
    ['{}', 'object'], ['[]', 'array'], ['""', 'string'], ['0', 'number'], ['9', 'number'], ['-1', 'number'],
    ['true', 'true'], ['false', 'false'], ['null', 'null']
  ]
  for (const [text, kind] of kinds) {
    const reader = new JsonReader(` ${text}`, MAX_DEPTH)
    t.equal(reader.kind(), kind)
    t.equal(reader.kind(), kind)
    t.equal(reader.rawValue(), text)
  }
  for (const text of ['', ' ', ']', '+1', ':', 'x', '/']) {
    t.equal(faultOf(() => new JsonReader(text, MAX_DEPTH).kind()).code, 'syntax')
  }
})

t.test('walks objects and arrays key by key', async t => {
  const reader = new JsonReader(' { "a" : [ 1 , { } , "\\u00e9\\n" ] , "b\\"\\ud800" : [ ] , "__proto__" : { "c" : 2 } } ', 8)
  const seen: string[] = []
  reader.enterObject()
  for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) {
    seen.push(key)
    if (reader.kind() === 'object') {
      reader.skip()
      continue
    }
    reader.enterArray()
    while (reader.nextElement()) seen.push(reader.kind() === 'string' ? reader.string() : reader.rawValue())
  }
  reader.end()
  t.same(seen, ['a', '1', '{ }', 'é\n', 'b"\ud800', '__proto__'])
})

t.test('the cursor is as strict as a whole read', async t => {
  const walkArray = (text: string) => () => {
    const reader = new JsonReader(text, MAX_DEPTH)
    reader.enterArray()
    while (reader.nextElement()) reader.skip()
    reader.end()
  }
  const walkObject = (text: string) => () => {
    const reader = new JsonReader(text, MAX_DEPTH)
    reader.enterObject()
    while (reader.nextKey() !== null) reader.skip()
    reader.end()
  }
  for (const text of ['[', '[,]', '[1,]', '[1 2]', '[1', '[1}', '[]]', '{}', '', '[[],]', '[1,,2]']) {
    t.equal(faultOf(walkArray(text)).code, 'syntax', text)
  }
  for (const text of ['{', '{,}', '{"a":1,}', '{"a":1 "b":1}', '{"a":1', '{"a":1]', '{}1', '[]', '', '{"a"}', '{a:1}', '{"a":{},}']) {
    t.equal(faultOf(walkObject(text)).code, 'syntax', text)
  }
  for (const text of ['1', '', 'null', '"a']) {
    t.equal(faultOf(() => new JsonReader(text, MAX_DEPTH).string()).code, 'syntax', text)
  }
})

t.test('a payload of five megabytes comes back whole', async t => {
  const long = `"${'é\u{1f389}\\n\\ud800 a'.repeat(500_000)}"`
  t.ok(readRaw(long) === long)
  t.ok(new JsonReader(long, 1).string() === JSON.parse(long))
  const wide = `[${Array.from({ length: 400_000 }, (_, index) => `{"n":${index}.10}`).join(', ')}]`
  t.ok(wide.length > 5_000_000)
  t.ok(readRaw(wide) === wide)
})
