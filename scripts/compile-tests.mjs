// Compiles every TypeScript file of the project, without checking types, into a folder: for load-compiled.mjs.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import swc from '@swc/core'

const project = fileURLToPath(new URL('..', import.meta.url))
const LEFT_OUT = new Set(['dist', 'node_modules', 'data', '.git', '.tap'])

/** @param {string} target a folder that is there */
export async function compileTests (target) {
  const folders = (await readdir(project, { withFileTypes: true })).filter(entry => entry.isDirectory() && !LEFT_OUT.has(entry.name))
  const nested = await Promise.all(folders.map(async ({ name }) => await readdir(join(project, name), { recursive: true, withFileTypes: true })))
  const files = [...await readdir(project, { withFileTypes: true }), ...nested.flat()]
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map(entry => relative(project, join(entry.parentPath ?? entry.path, entry.name)))
  await Promise.all(files.map(async file => {
    const { code } = await swc.transform(await readFile(join(project, file), 'utf8'), {
      filename: join(project, file),
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'es6' },
      sourceMaps: 'inline'
    })
    const compiled = join(target, `${file}.js`)
    await mkdir(dirname(compiled), { recursive: true })
    await writeFile(compiled, code)
  }))
}
