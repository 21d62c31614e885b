import t from 'tap'
import { SEPARATOR, plainArray, textArray } from '../../../services/database/literals.ts'
import { connect, databaseUrl } from '../../support.ts'

const TEXTS = ['', ' ', 'NULL', 'null', '{}', '{a,b}', ',', '"', '\\', '\\"', '\\\\', 'a\nb\r\t', "'; drop table x; --", '\u001e', '\u{1f389}é', '\u00a0', '(1,2)', 'x'.repeat(100_000)]

t.test('texts come through PostgreSQL as they went in', async t => {
  const sql = connect(t, databaseUrl(), 1)
  for (const values of [[], TEXTS, [null], [null, '', null], [...TEXTS, null, ...TEXTS]]) {
    const [row] = await sql<{ back: unknown }[]>`select to_json(${textArray(values)}::text::text[]) as back`
    t.same(row?.back, values)
  }
})

t.test('numbers, words and nulls come through PostgreSQL as they went in', async t => {
  const sql = connect(t, databaseUrl(), 1)
  const numbers = [0, -1, 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, null]
  for (const values of [[], numbers, [null]]) {
    const [row] = await sql<{ back: unknown }[]>`select to_json(${plainArray(values)}::text::bigint[]) as back`
    t.same(row?.back, values)
  }
  const fractions = [0.5, -1.25, 1e21, 1e-7, 123456.789]
  const [floats] = await sql<{ back: unknown }[]>`select to_json(${plainArray(fractions)}::text::float8[]) as back`
  t.same(floats?.back, fractions)
  const [flags] = await sql<{ back: unknown }[]>`select to_json(${plainArray(['t', 'f', null])}::text::boolean[]) as back`
  t.same(flags?.back, [true, false, null])
  const ids = ['0190a0b2-7c3d-7e4f-8a5b-0123456789ab', null]
  const [uuids] = await sql<{ back: unknown }[]>`select to_json(${plainArray(ids)}::text::uuid[]) as back`
  t.same(uuids?.back, ids)
})

t.test('joined texts are split by SQL at the same places', async t => {
  const sql = connect(t, databaseUrl(), 1)
  const texts = ['"a"', '{"b":"\\u001e"}', '1\n2', '"\u{1f389}"']
  const [row] = await sql<{ back: unknown }[]>`select to_json(string_to_array(${texts.join(SEPARATOR)}, U&'\\001E')) as back`
  t.same(row?.back, texts)
})
