import t from 'tap'
import { ERRORS } from '../../services/errors.ts'
import type { ErrorCode } from '../../services/errors.ts'
import type { Rule } from '../../services/option-rule.ts'
import { REGENT_OPTIONS, SERVER_OPTIONS } from '../../services/options.ts'
import { readTable, refusalsOf } from './table.ts'

const OPTIONS: Record<string, Rule> = { ...SERVER_OPTIONS, ...REGENT_OPTIONS }
// How options are called that bound something.
const BOUND = /^max|Max[A-Z]|^rateLimit|Memory|^poolSize$|(Timeout|Stall|Frame|Close)Ms$/
// What is meant where a request says nothing, and how work is cut: nothing is refused beyond them.
const NO_BOUNDS = new Set(['defaultTimeoutMs', 'channelsDefaultTimeoutMs', 'fileBufferMaxBatch'])
// The answers to what never becomes a request have a status of their own.
const OF_CONNECTIONS = new Set([408, 431])

const table = readTable()

t.test('the table has every option that bounds something, and no other', async t => {
  const bounds = Object.keys(OPTIONS).filter(name => BOUND.test(name) && !NO_BOUNDS.has(name))
  t.ok(bounds.length > 20)
  t.same(table.flatMap(({ option }) => option ?? []).sort(), bounds.sort())
  t.ok(table.filter(({ option }) => option === null).length > 15)
  for (const { what, option, variable } of table) if (option === null) t.equal(variable, null, what)
})

t.test('with the variable and the default that it has', async t => {
  for (const { option, variable, default: written } of table) {
    const rule = OPTIONS[option ?? '']
    if (rule === undefined) continue
    t.equal(variable, rule.env, rule.env)
    if (rule.default === undefined) continue
    const [, digits = '', unit = ''] = /^(\d[\d ]*)([A-Za-z]*)/.exec(written) ?? []
    t.equal(digits.replaceAll(' ', ''), String(rule.default), rule.env)
    t.equal(unit, rule.default !== 0 && 'unit' in rule ? rule.unit ?? '' : '', rule.env)
  }
})

t.test('what it says is answered beyond them is what these errors are answered with', async t => {
  const refusals = table.flatMap(refusalsOf)
  t.ok(refusals.length > 30)
  for (const { status, code } of refusals) {
    const kind = ERRORS[code as ErrorCode] as typeof ERRORS[ErrorCode] | undefined // the table may name what is none
    t.equal(OF_CONNECTIONS.has(status) ? 'RGT_REQUEST_INVALID' : kind?.status, OF_CONNECTIONS.has(status) ? code : status, code)
  }
  // Of several answers to one thing, the first says it for all.
  for (const limit of table) {
    const [first] = refusalsOf(limit)
    if (first !== undefined) t.equal(first.hasRetryAfter, first.status === 503 || first.status === 429, limit.what)
  }
})
