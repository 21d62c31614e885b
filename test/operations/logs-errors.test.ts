import t from 'tap'
import { errorLine } from '../../services/logging/error-line.ts'
import { hideSecrets } from '../../services/logging/hide-secrets.ts'
import { Ration } from '../../services/logging/ration.ts'

t.test('texts are logged without what opens doors', async t => {
  for (const [text, shown] of [
    ['postgres://user:pass@host:5432/db?password=pass&x=1', 'postgres://***@host:5432/db?***'],
    ['cannot fetch https://u:p@ss@host/keys?key=pass now', 'cannot fetch https://***@host/keys?*** now'],
    ['redis://:pass@host', 'redis://***@host'],
    ['token=pass, password=pass', 'token=*** password=***'],
    ['authorization: Bearer pass.word-1', 'authorization: Bearer ***'],
    ['at file:///app/node_modules/@scope/x.js:1:2', 'at file:///app/node_modules/@scope/x.js:1:2']
  ] as const) t.equal(hideSecrets(text), shown)
  t.equal(hideSecrets('://'.repeat(1_000_000)).length, 8000)
})

t.test('of an error known properties are logged, and no others', async t => {
  const refused = Object.assign(new Error('new row violates "c"'), {
    name: 'PostgresError', code: '23514', severity: 'ERROR', constraint_name: 'c', detail: 'Failing row contains (pass).', where: 'pass', hint: 'pass', query: 'pass', parameters: ['pass']
  })
  const line = errorLine(refused)
  t.match(line, { type: 'PostgresError', message: 'new row violates "c"', code: '23514', severity: 'ERROR', constraint_name: 'c', stack: /^PostgresError: new row violates "c"\n {4}at / })
  t.notMatch(JSON.stringify(line), /pass/)
})

t.test('what the database could not read is not quoted', async t => {
  const line = errorLine(Object.assign(new Error('invalid input syntax for type json: "pass\n    at pass"'), { code: '22P02' }))
  t.match(line, { message: 'invalid input syntax for type json: "***"' })
  t.notMatch(JSON.stringify(line), /pass/)
})

t.test('causes are logged in the same way, and not without end', async t => {
  const error = new Error('outer', { cause: new AggregateError([new Error('x://u:pass@h'), 'password=pass'], 'both', { cause: 'pwd=pass' }) })
  const line = errorLine(error)
  t.match(line, { message: 'outer', cause: { type: 'AggregateError', errors: [{ message: 'x://***@h' }, { message: 'password=***' }], cause: { message: 'pwd=***' } } })
  t.notMatch(JSON.stringify(line), /pass@|=pass/)
  const endless = new Error('endless')
  endless.cause = endless
  t.ok(JSON.stringify(errorLine(endless)).length < 50_000)
  t.match(errorLine('token=x'), { type: 'string', message: 'token=***' })
})

t.test('one event of a kind a minute is let through, with the number of those that were not', async t => {
  let ms = 0
  const ration = new Ration(() => ms)
  t.same(['a', 'a', 'b', 'a'].map(kind => ration.take(kind)), [0, null, 0, null])
  ms = 59_999
  t.equal(ration.take('a'), null)
  ms = 60_000
  t.same(['a', 'a', 'b'].map(kind => ration.take(kind)), [3, null, 0])
})
