// Lists the licence of every package that is installed with Regent, and fails for one that is not known to be fine.
// Argument: the folder of a package; this one unless given.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

// By their SPDX identifiers: they ask for nothing but that their text goes along.
const ALLOWED = new Set(['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'CC0-1.0', 'ISC', 'MIT', 'MIT-0', 'PostgreSQL', 'Python-2.0', 'Unlicense', 'Zlib'])

const root = resolve(process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url)))
const found = new Map()
const missing = []
visit(root, readPackage(root), false)

const lines = [...found.values()].sort((a, b) => a.name < b.name ? -1 : 1).map(({ name, version, licence }) => `${isAllowed(licence) ? ' ' : '!'} ${`${name}@${version}`.padEnd(50)} ${licence}`)
const refused = [...found.values()].filter(({ licence }) => !isAllowed(licence))
console.log(lines.join('\n'))
if (missing.length > 0) console.error(`not installed: ${missing.join(', ')}`)
if (refused.length > 0) console.error(`not in the list of licences that are fine: ${refused.map(({ name, licence }) => `${name} (${licence})`).join(', ')}`)
process.exitCode = missing.length + refused.length > 0 ? 1 : 0

/** Everything a package needs to run, looked for as Node does: in its own folder, then in those above. */
function visit (folder, { dependencies = {}, optionalDependencies = {} }, isOptional) {
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const at = find(folder, name)
    if (at === null) {
      // Packages for other platforms are left out when installing, with all that they need.
      if (!isOptional && !(name in optionalDependencies)) missing.push(name)
      continue
    }
    if (found.has(at)) continue
    const own = readPackage(at)
    found.set(at, { name: own.name, version: own.version, licence: licenceOf(own) })
    visit(at, own, isOptional || name in optionalDependencies)
  }
}

function find (folder, name) {
  const at = join(folder, 'node_modules', name)
  if (existsSync(join(at, 'package.json'))) return at
  return dirname(folder) === folder ? null : find(dirname(folder), name)
}

function readPackage (folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

/** Old packages have an object, or several. */
function licenceOf ({ license, licenses }) {
  const given = license ?? licenses ?? 'none'
  return [given].flat().map(one => typeof one === 'string' ? one : one.type).join(' OR ')
}

/** An SPDX expression: one of those joined by OR, all of those joined by AND. */
function isAllowed (expression) {
  return expression.replace(/[()]/g, '').split(' OR ').some(part => part.split(' AND ').every(licence => ALLOWED.has(licence.trim())))
}
