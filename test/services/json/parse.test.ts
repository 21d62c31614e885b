import t from 'tap'
import { parseJson } from '../../../services/json/parse.ts'
import { JsonSyntaxError } from '../../../services/json/reader.ts'

t.test('parses a document', async t => {
  t.same(parseJson(' {"a":[1,"é",null,true]} ', 2), { a: [1, 'é', null, true] })
})

t.test('counts depth from the root of the body', async t => {
  t.same(parseJson('[[1]]', 2), [[1]])
  t.throws(() => parseJson('[[[1]]]', 2), { code: 'depth', position: 2 })
  t.throws(() => parseJson('['.repeat(100_000), 64), { code: 'depth' })
})

t.test('refuses broken text without quoting it', async t => {
  for (const text of ['', '{"token":"secret"', '{"token":"secret"}}', '{"token":secret}', "{'token':'secret'}"]) {
    try {
      parseJson(text, 8)
      t.fail(`accepted ${text}`)
    } catch (error) {
      t.ok(error instanceof JsonSyntaxError)
      t.notMatch(String(error), 'secret')
    }
  }
})

t.test('a __proto__ key is an own property and changes no prototype', async t => {
  const value = parseJson('{"__proto__":{"isAdmin":true}}', 8)
  t.ok(Object.hasOwn(Object(value), '__proto__'))
  t.equal(Object.getPrototypeOf(value), Object.prototype)
  t.notOk('isAdmin' in {})
})
