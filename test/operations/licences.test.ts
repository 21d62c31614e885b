import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { makeFolder } from '../fixtures/embedded-postgres.ts'
import { projectDir } from '../fixtures/server-process.ts'

const run = promisify(execFile)

async function licences (folder: string): Promise<{ stdout: string }> {
  return await run(process.execPath, [join(projectDir, 'scripts/licences.mjs'), folder])
}

/** A package with these packages installed for it, each a package.json. */
function installed (t: Test, own: object, packages: Record<string, object>): string {
  const folder = makeFolder(t)
  writeFileSync(join(folder, 'package.json'), JSON.stringify(own))
  for (const [name, content] of Object.entries(packages)) {
    mkdirSync(join(folder, 'node_modules', name), { recursive: true })
    writeFileSync(join(folder, 'node_modules', name, 'package.json'), JSON.stringify({ name, version: '1.0.0', ...content }))
  }
  return folder
}

t.test('everything that is installed with the service has a licence that is fine', async t => {
  const { stdout } = await licences(projectDir)
  for (const name of ['fastify', 'pino', 'postgres', 'ws']) t.match(stdout, new RegExp(`^ {2}${name}@\\d\\S+ +MIT|^ {2}${name}@\\d\\S+ +Unlicense`, 'm'))
  t.notMatch(stdout, /^ {2}(eslint|tap|typescript)@/m, 'what is only for development counts not')
})

t.test('fails for a licence that is not listed, also further down, and names the package', async t => {
  const folder = installed(t, { dependencies: { good: '1' } }, { good: { license: 'MIT', dependencies: { deep: '1' } }, deep: { license: 'SSPL-1.0' } })
  await t.rejects(licences(folder), { code: 1, stderr: /: deep \(SSPL-1\.0\)/, stdout: /^! deep@1\.0\.0 +SSPL-1\.0$/m })
  await t.rejects(licences(installed(t, { dependencies: { none: '1' } }, { none: {} })), { code: 1, stderr: /none \(none\)/ })
  await t.rejects(licences(installed(t, { dependencies: { both: '1' } }, { both: { license: '(MIT AND GPL-3.0-only)' } })), { code: 1, stderr: /both/ })
})

t.test('of several licences one to choose is enough', async t => {
  const own = { dependencies: { choice: '1', old: '1' }, optionalDependencies: { 'of-another-platform': '1' } }
  const { stdout } = await licences(installed(t, own, { choice: { license: '(GPL-2.0-only OR MIT)' }, old: { licenses: [{ type: 'BSD-3-Clause' }] } }))
  t.match(stdout, /^ {2}choice@1\.0\.0 .*\n {2}old@1\.0\.0 /)
})

t.test('fails where something that is needed is not installed', async t => {
  await t.rejects(licences(installed(t, { dependencies: { 'regent-has-no-such-package': '1' } }, {})), { code: 1, stderr: 'not installed: regent-has-no-such-package' })
})
