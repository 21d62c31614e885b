import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import { ERRORS, RegentError, hasCode } from '../../services/errors.ts'
import type { ErrorKind } from '../../services/errors.ts'

const ROOT = new URL('../../', import.meta.url)

/**
 * Every source file of the service except the table itself. What keeps `npm start` from starting (server.ts and the
 * embedded database) has error types of its own: it never reaches a caller of the service.
 */
function sources (): string[] {
  const folders = ['plugins', 'routes', 'services'].flatMap(folder =>
    readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map(file => `${folder}/${file}`))
  return [...folders, 'app.ts', 'index.ts'].filter(file =>
    /\.(ts|sql)$/.test(file) && file !== 'services/errors.ts' && !file.startsWith('services/embedded-postgres/'))
}

t.test('the table and the code know the same codes', async t => {
  const used = new Set(sources().flatMap(file => readFileSync(new URL(file, ROOT), 'utf8').match(/RGT_[A-Z0-9_]+/g) ?? []))
  t.same([...used].sort(), Object.keys(ERRORS).sort())
})

t.test('every entry can be answered with', async t => {
  for (const [code, { status, retryable, message }] of Object.entries<ErrorKind>(ERRORS)) {
    t.match(code, /^RGT_[A-Z0-9]+(_[A-Z0-9]+)*$/)
    t.ok(status >= 400 && status < 600, code)
    t.equal(retryable, status === 503 || status === 429, `${code}: 503 and 429 are what a client may simply repeat`)
    t.ok(message.length > 0, code)
  }
})

t.test('an error carries its kind, its detail word for word, its field and its cause', async t => {
  const cause = new Error('inner')
  const error = new RegentError('RGT_BODY_NOT_JSON', { detail: "$& $1 $' %s", field: 'items[0]', cause })
  t.match(error, { name: 'RegentError', code: 'RGT_BODY_NOT_JSON', status: 400, retryable: false, field: 'items[0]', cause, message: "Invalid JSON: $& $1 $' %s" })
  const bare = new RegentError('RGT_BODY_NOT_JSON')
  t.equal(bare.message, 'Invalid JSON: ')
  t.equal(bare.field, undefined)
  t.notOk('cause' in bare)
})

t.test('errors are told apart by code, also those of another copy of the package', async t => {
  t.ok(hasCode(new RegentError('RGT_OVERLOADED'), 'RGT_OVERLOADED'))
  t.ok(hasCode(Object.assign(new Error('x'), { code: 'RGT_OVERLOADED' }), 'RGT_OVERLOADED'))
  for (const other of [new RegentError('RGT_INTERNAL'), new Error('RGT_OVERLOADED'), { code: 'RGT_OVERLOADED' }, 'RGT_OVERLOADED', null, undefined]) {
    t.notOk(hasCode(other, 'RGT_OVERLOADED'))
  }
})
