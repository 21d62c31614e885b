import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Report } from '../../scripts/bench/report/results.ts'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { projectDir } from '../fixtures/server-process.ts'
import { connect, databaseUrl } from '../support.ts'

const SCRIPT = join(projectDir, 'dist/scripts/bench/run.js')
const run = promisify(execFile)

t.test('a run measures against a floor, writes its report, and leaves nothing behind', async t => {
  const out = makeFolder(t)
  const { NODE_OPTIONS: _testRunner, ...env } = process.env
  const args = [SCRIPT, '--seconds', '1', '--warm-up', '0', '--repeat', '1', '--only', 'push-100,insert-100,channels-100x1', '--out', out]
  const { stdout } = await run(process.execPath, args, { env: { ...env, DATABASE_URL: databaseUrl() } })
  t.match(stdout, 'push, 100 per request')
  const { series, options } = JSON.parse(readFileSync(join(out, 'benchmarks.json'), 'utf8')) as Report
  t.strictSame(options, { seconds: 1, warmUpSeconds: 0, repeat: 1, workers: [1] })
  t.strictSame(series.map(({ name, repetitions, failures }) => [name, repetitions.length, failures]), [['push-100', 1, []], ['insert-100', 1, []], ['channels-100x1', 1, []]])
  for (const { name, repetitions } of series) {
    t.ok(repetitions.every(({ messages, seconds, faults, generatorCpuSeconds }) => messages > 0 && seconds > 0 && faults.length === 0 && generatorCpuSeconds !== 0), name)
  }
  const page = readFileSync(join(out, 'benchmarks.md'), 'utf8')
  t.match(page, '| push, 100 per request | INSERT of 100 rows |')
  t.notMatch(page, /undefined|NaN|Infinity/)
  for (const plot of ['push', 'channels']) t.match(readFileSync(join(out, `benchmarks/${plot}.svg`), 'utf8'), '</svg>')
  const left = await connect(t, databaseUrl())`select datname from pg_database where datname like 'regent_bench_%'`
  t.strictSame([...left], [])
})

t.test('a workload that does not exist is refused', async t => {
  await t.rejects(run(process.execPath, [SCRIPT, '--only', 'nothing']), { code: 1, stderr: /no workload of that name/ })
})
