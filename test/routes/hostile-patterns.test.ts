import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'
import { Pattern, TooManySteps } from './pattern-steps.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Characters of the shorter one of two inputs. */
const LENGTH = 400
/** Steps for an input of twice the length: twice as many, and some more for what does not grow. Squares would take four times as many. */
const MOST_GROWTH = 3
const ENDS = ['', '\u0001', '\n']

/** What nobody but the operator and PostgreSQL itself writes. */
const NOT_FROM_CLIENTS = ['services/embedded-postgres/']

interface Literal { file: string, regexp: RegExp }

/** Every regular expression of the sources, and every place where one is made at run time. */
function patterns (): { literals: Literal[], made: string[] } {
  const literals: Literal[] = []
  const made: string[] = []
  const folders = ['plugins', 'routes', 'services'].flatMap(folder => readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' }).map(file => `${folder}/${file}`))
  const files = [...folders, ...readdirSync(ROOT)].filter(file => file.endsWith('.ts'))
  for (const file of files) {
    const visit = (node: ts.Node): void => {
      if (ts.isRegularExpressionLiteral(node)) {
        const end = node.text.lastIndexOf('/')
        literals.push({ file, regexp: new RegExp(node.text.slice(1, end), node.text.slice(end + 1)) })
      } else if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && ts.isIdentifier(node.expression) && node.expression.text === 'RegExp') {
        made.push(file)
      }
      ts.forEachChild(node, visit)
    }
    visit(ts.createSourceFile(file, readFileSync(`${ROOT}${file}`, 'utf8'), ts.ScriptTarget.Latest))
  }
  return { literals, made }
}

/** The input that takes far more than twice the steps at twice the length, as what it is made of; null: there is none. */
function weakness (regexp: RegExp): string | null {
  const pattern = new Pattern(regexp)
  const { words, beginnings } = pattern.seeds()
  for (const beginning of beginnings) {
    for (const word of words) {
      for (const end of ENDS) {
        const stepsFor = (length: number): number => pattern.run(beginning + word.repeat(length / word.length) + end).steps
        try {
          if (stepsFor(2 * LENGTH) <= MOST_GROWTH * stepsFor(LENGTH)) continue
        } catch (error) {
          if (!(error instanceof TooManySteps)) throw error
        }
        return JSON.stringify([beginning, word, end])
      }
    }
  }
  return null
}

t.test('the time of no pattern grows faster than what clients send', async t => {
  const { literals, made } = patterns()
  t.ok(literals.length > 30, `${literals.length} patterns were found`)
  t.same(made, [], 'none is made at run time, so all of them are seen here')
  const ofClients = literals.filter(({ file }) => !NOT_FROM_CLIENTS.some(folder => file.startsWith(folder)))
  t.same(ofClients.map(({ file, regexp }) => [file, String(regexp), weakness(regexp)]).filter(([, , input]) => input !== null), [])
})

t.test('the count of steps tells patterns apart that take long from those that do not', async t => {
  for (const bad of [/(a+)+$/, /^(a|a)*$/, /^(\w+\d*)+$/, /\s+$/, /^\s*,?\s*$/, /^(.*)@(.*)@$/, /".*"x/, /^\d+\d+$/]) {
    t.not(weakness(bad), null, String(bad))
  }
  for (const good of [/^\s+$/, /^a+b+$/, /^(?:ab?)+c$/, /[\n\r]/g, /^x{1,50}$/]) t.equal(weakness(good), null, String(good))
})

t.test('it finds what the engine finds', async t => {
  for (const { file, regexp } of patterns().literals) {
    const pattern = new Pattern(regexp)
    const { words, beginnings } = pattern.seeds()
    const wrong = beginnings.flatMap(beginning => words.flatMap(word => ENDS.map(end => `${beginning}${word}${word}${end}`))).filter(text => {
      const found = new RegExp(regexp.source, regexp.flags.replace(/[gy]/g, '')).exec(text)
      const expected = found === null ? null : [found.index, found.index + found[0].length]
      return JSON.stringify(pattern.run(text).match) !== JSON.stringify(expected)
    })
    t.same(wrong, [], `${file}: ${String(regexp)}`)
  }
})
