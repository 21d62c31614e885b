import t from 'tap'
import { FieldError } from '../../services/json/field-error.ts'
import { readPushBody } from '../../services/json/push-body.ts'
import { contextFields, messageLine, traceparentOf } from '../../services/log/line.ts'
import { contextOfHeaders } from '../../services/trace-context/trace-context.ts'
import { readTraceparent } from '../../services/trace-context/traceparent.ts'
import { readTracestate } from '../../services/trace-context/tracestate.ts'
import { MALFORMED, PARENT, traceparent } from './contexts.ts'

t.test('a traceparent is taken as it is, one of a later version as what it says in the terms of version 00', async t => {
  for (const flags of ['00', '01', '03', 'ff']) t.equal(readTraceparent(`${PARENT.slice(0, -2)}${flags}`), `${PARENT.slice(0, -2)}${flags}`)
  const later = PARENT.replace(/^00/, '01')
  t.equal(readTraceparent(later), PARENT)
  t.equal(readTraceparent(`${later}-and-what-nobody-knows-yet`), PARENT)
  t.equal(readTraceparent(PARENT.replace(/^00/, 'fe').replace(/01$/, 'fe')), PARENT.replace(/01$/, '02'), 'flags that are not known are left out')
})

t.test('what is no traceparent is none', async t => {
  for (const text of MALFORMED) t.equal(readTraceparent(text), null, JSON.stringify(text))
})

t.test('a tracestate is kept as its entries, without the blanks around them', async t => {
  t.equal(readTracestate('congo=t61rcWkgMzE'), 'congo=t61rcWkgMzE')
  t.equal(readTracestate(' a=1 ,\tb=2,,c@d=x "y\\" z '), 'a=1,b=2,c@d=x "y\\" z')
  t.equal(readTracestate('0a_-*/@=~'), '0a_-*/@=~')
})

t.test('a tracestate with an entry that is none is none', async t => {
  for (const text of ['', ' , ', 'a', 'a=', '=1', 'A=1', 'a b=1', 'a=1=2', 'a=1\n', 'a=1,b\0=2', 'a=é', 'a=1;b=2=3', `${'k'.repeat(257)}=1`, `k=${'v'.repeat(257)}`, '_a=1']) {
    t.equal(readTracestate(text), null, JSON.stringify(text))
  }
})

t.test('a tracestate has at most 32 entries and 512 characters: large entries go first, then the last ones', async t => {
  const entries = Array.from({ length: 40 }, (_, n) => `k${n}=v`)
  t.equal(readTracestate(entries.join(',')), entries.slice(0, 32).join(','))
  const small = Array.from({ length: 10 }, (_, n) => `s${n}=${'v'.repeat(50)}`)
  const large = `large=${'v'.repeat(200)}`
  t.equal(readTracestate([large, ...small].join(','))?.includes(large), false)
  t.equal(readTracestate([large, ...small].join(',')), small.slice(0, 9).join(','))
  t.equal(readTracestate(`${large},a=1`), `${large},a=1`, 'what fits stays')
  const full = [`a=${'v'.repeat(125)}`, `b=${'v'.repeat(125)}`, `c=${'v'.repeat(125)}`, `d=${'v'.repeat(126)}`]
  t.equal(full.join(',').length, 512)
  t.equal(readTracestate(full.join(',')), full.join(','))
  t.equal(readTracestate(`${full.join(',')}v`), full.slice(0, 3).join(','))
})

t.test('headers give a context when their traceparent is one, whatever the tracestate is', async t => {
  t.same(contextOfHeaders({ traceparent: PARENT, tracestate: 'a=1' }), { traceparent: PARENT, tracestate: 'a=1' })
  t.same(contextOfHeaders({ traceparent: PARENT, tracestate: 'A' }), { traceparent: PARENT, tracestate: null })
  t.same(contextOfHeaders({ traceparent: PARENT }), { traceparent: PARENT, tracestate: null })
  t.equal(contextOfHeaders({ tracestate: 'a=1' }), null)
  t.equal(contextOfHeaders({ traceparent: `${PARENT}, ${PARENT}`, tracestate: 'a=1' }), null, 'two are none')
  t.equal(contextOfHeaders({}), null)
})

t.test('a stored line has the context before its data, and is found there alone', async t => {
  const fields = contextFields({ traceparent: PARENT, tracestate: 'a="\\' })
  const line = messageLine('"x"', null, null, '{"b":1}', fields)
  t.equal(line, `{"transactionId":"x","traceId":null,"producerSub":null,"traceparent":"${PARENT}","tracestate":"a=\\"\\\\","data":{"b":1}}`)
  t.same(JSON.parse(line).tracestate, 'a="\\')
  t.equal(traceparentOf(line), PARENT)
  t.equal(contextFields(null), '')
  const forged = `,"traceparent":"${PARENT}"`
  t.equal(traceparentOf(messageLine(JSON.stringify(forged), null, forged, `{"a":1${forged}}`)), null, 'not in ids nor in payloads')
})

t.test('items name their own context; null and empty texts name none', async t => {
  const contexts = (...fields: string[]): unknown[] =>
    readPushBody(`{"items":[${fields.map(field => `{"queue":"q"${field}}`).join(',')}]}`, { maxItems: 100, maxDepth: 10 }).items.map(({ context }) => context)
  t.same(contexts(`,"traceparent":"${PARENT}","tracestate":"a=1"`, `,"traceparent":"${PARENT}"`, `,"tracestate":"A","traceparent":"${PARENT}"`), [
    { traceparent: PARENT, tracestate: 'a=1' }, { traceparent: PARENT, tracestate: null }, { traceparent: PARENT, tracestate: null }
  ])
  t.same(contexts('', ',"traceparent":null,"tracestate":null', ',"traceparent":""', ',"tracestate":"a=1"'), [undefined, undefined, undefined, undefined])
  t.same(contexts(`,"traceparent":5,"traceparent":"${PARENT}"`), [{ traceparent: PARENT, tracestate: null }], 'of equal keys the last one counts')
})

t.test('an item whose traceparent is none is refused by name', async t => {
  const refusal = (field: string): FieldError => {
    try {
      readPushBody(`{"items":[{"queue":"q"},{"queue":"q",${field}}]}`, { maxItems: 2, maxDepth: 10 })
    } catch (error) {
      if (error instanceof FieldError) return error
    }
    throw new Error(`accepted: ${field}`)
  }
  for (const text of MALFORMED.filter(text => text !== '')) t.match(refusal(`"traceparent":${JSON.stringify(text)}`), { field: 'items[1].traceparent', reason: 'format' })
  t.notMatch(refusal(`"traceparent":"${traceparent(1)}x"`).message, traceparent(1), 'the value is not quoted')
  for (const value of ['1', '{}', 'true', '[null]']) {
    t.match(refusal(`"traceparent":${value}`), { field: 'items[1].traceparent', reason: 'type' })
    t.match(refusal(`"tracestate":${value}`), { field: 'items[1].tracestate', reason: 'type' })
  }
})
