import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { readAlikeItems } from '../../../services/json/alike-items.ts'
import type { AlikeBody } from '../../../services/json/alike-items.ts'
import { RandomJson } from './random-json.ts'

const read = (text: string): AlikeBody | null => readAlikeItems(text, 'list', 'id', 4)

/** The elements one by one, as JSON.parse would return them. */
function expand ({ items, rest }: AlikeBody): unknown {
  return { ...rest, list: items.flatMap(({ fields, texts }) => texts.map(id => ({ ...fields, id }))) }
}

const same = (n: number): object[] => Array.from({ length: n }, (_, i) => ({ id: `m-${i}`, to: 'x', ok: true, at: null, n: 1.5 }))

t.test('reads neighbours that differ in one text as one', async t => {
  for (const text of [
    JSON.stringify({ list: same(3) }),
    JSON.stringify({ list: same(3), group: 'g', more: { deep: [1] } }),
    JSON.stringify({ list: same(3), group: 'g' }, null, 2),
    JSON.stringify({ list: same(3) }).replaceAll(',', ', ').replaceAll(':', ': '),
    '{"list":[{"to":"x","id":"a"},{"to":"x","id":"b"},{"to":"x","id":""}]}'
  ]) {
    const body = read(text)
    t.equal(body?.items.length, 1, text)
    t.equal(body?.count, 3)
    if (body !== null) t.same(expand(body), JSON.parse(text))
  }
})

t.test('begins anew where more differs', async t => {
  const text = JSON.stringify({ list: [...same(2), { id: 'a', to: 'y' }, { id: 'b', to: 'y' }, { id: 'Ü\u2028😀', to: 'y' }, { to: 'y', id: 'd' }] })
  const body = read(text)
  t.same(body?.items.map(({ texts }) => texts.length), [2, 3, 1])
  if (body !== null) t.same(expand(body), JSON.parse(text))
  t.same(read('{"list":[]}'), { rest: {}, items: [], count: 0 })
})

t.test('leaves everything else to a parser', async t => {
  for (const text of [
    '', '[]', '{}', '{"list":null}', '{"other":1,"list":[{"id":"a"}]}', '{"list":[1]}', '{"list":[{"id":1}]}', '{"list":[{"to":"id"}]}', '{"list":[{"id":"a"},1]}',
    '{"list":[{"id":"a","x":{}}]}', '{"list":[{"id":"a\\n"}]}', '{"list":[{"id":"a"},{"id":"b"}', '{"list":[{"id":"a"},]}', '{"list":[{"id":"a"}{"id":"b"}]}',
    '{"list":[{"id":"a"}],}', '{"list":[{"id":"a"}]"x":1}', '{"list":[{"id":"a"}],"list":[]}', '{"list":[{"id":"a"}],,"x":1}', '{"list":[{"id":"a"}]} x', '{"list":[{"id":"a","id":"b"},{"id":"c","id":"b"}]}', '{"list":[{"to":"id","id":"a"}]}',
    '{"list":[{"id":"a"}],"list":[{"id":"b"}]}', '{"list":[{"id":"a"}],"list":3}', `{"list":[{"id":"a"}],"x":${'['.repeat(5)}${']'.repeat(5)}}`,
    `{"list":[{"id":"a"}],"x":${'['.repeat(1e6)}`, '{"list":[{"id":"a\u0001"}]}', '\u00a0{"list":[{"id":"a"}]}', '{"list"\u2003:[{"id":"a"}]}'
  ]) t.equal(read(text), null, text.slice(0, 60))
  t.equal(read(JSON.stringify({ list: Array.from({ length: 9 }, (_, i) => ({ id: 'a', to: i })) })), null, 'where nothing is alike')
})

t.test('reads nothing where a later text does not stand for itself', async t => {
  for (const text of ['{"list":[{"id":"a"},{"id":"b\u0001"}]}', '{"list":[{"id":"a"},{"id":"b\\u0041"}]}']) t.equal(read(text), null)
})

t.test('reads what JSON.parse reads, and nothing that it refuses', async t => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.comment(`seed ${seed}`)
  const random = new RandomJson(seed)
  const pick = (choices: readonly string[]): string => random.pick(choices)
  const inOneOf = (cases: number): boolean => random.below(cases) === 0
  const ids = ['a', 'b', '', 'id', '"', '\\', '{', '}', ']', 'ü', '\n', ' ', ':', '"id":"', '"},{"id":"']
  const blanks = ['', '', '', ' ', '\n', '\t']
  const bits = [...'{}[]",:\\ \u00a0', '"id"', '"list"', '1', '\u0000', '']
  let taken = 0
  for (let round = 0; round < 20_000; round++) {
    const object = (): string => {
      const fields = [['id', pick(ids)], ['to', pick(['x', 'x', 'x', 'y'])], ...(inOneOf(5) ? [['id', pick(ids)]] : []), ...(inOneOf(10) ? [['n', { m: 1 }]] : [])]
      if (inOneOf(10)) fields.reverse()
      return `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`
    }
    const array = Array.from({ length: random.below(6) }, object).join(`${pick(blanks)},`)
    const more = pick(['', '', ',"group":"g"', ',"list":[]', ',"list":[{"id":"z"}]', ',"deep":[[[[]]]]', ',"deep":[[[[[]]]]]'])
    let text = `${pick(blanks)}{"list":[${array}]${more}}`
    if (inOneOf(2)) {
      const at = random.below(text.length)
      text = text.slice(0, at) + pick(bits) + text.slice(at + random.below(3))
    }
    const body = read(text)
    if (body === null) continue
    taken++
    let expected: unknown
    try {
      expected = JSON.parse(text)
    } catch {
      t.fail(`no JSON: ${text}`)
      continue
    }
    const expanded = expand(body)
    if (!isDeepStrictEqual(expanded, expected)) t.same(expanded, expected, text)
  }
  t.ok(taken > 500, `${taken} taken`)
})
