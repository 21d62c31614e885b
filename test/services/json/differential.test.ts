import t from 'tap'
import { parseJson } from '../../../services/json/parse.ts'
import { JsonReader, JsonSyntaxError } from '../../../services/json/reader.ts'
import { RandomJson } from './random-json.ts'

// REGENT_FUZZ_SEED replays a failure or widens the search; the default keeps runs alike.
const SEED = Number(process.env.REGENT_FUZZ_SEED ?? 20_260_101)
const VALID_CASES = 4_000
const MUTATIONS_PER_CASE = 3

type Outcome = { value: unknown } | { refused: true }

function outcome (parse: () => unknown, isRefusal: (error: unknown) => boolean): Outcome {
  try {
    return { value: parse() }
  } catch (error) {
    if (!isRefusal(error)) throw error
    return { refused: true }
  }
}

const byJsonParse = (text: string): Outcome => outcome(() => JSON.parse(text), error => error instanceof SyntaxError)
const byReader = (text: string): Outcome =>
  outcome(() => walk(text), error => error instanceof JsonSyntaxError && error.code === 'syntax')

/** Rebuilds the value through the cursor: containers at the top are walked, what they hold is sliced. */
function walk (text: string): unknown {
  const reader = new JsonReader(text, 100)
  const kind = reader.kind()
  let value: unknown
  if (kind === 'object') {
    // From entries, as JSON.parse defines keys: an assignment would lose `__proto__`.
    const entries: Array<[string, unknown]> = []
    reader.enterObject()
    for (let key = reader.nextKey(); key !== null; key = reader.nextKey()) {
      entries.push([key, reader.kind() === 'string' ? reader.string() : JSON.parse(reader.rawValue())])
    }
    value = Object.fromEntries(entries)
  } else if (kind === 'array') {
    const elements: unknown[] = []
    reader.enterArray()
    while (reader.nextElement()) elements.push(JSON.parse(reader.rawValue()))
    value = elements
  } else {
    value = kind === 'string' ? reader.string() : JSON.parse(reader.rawValue())
  }
  reader.end()
  return value
}

t.test('accepts and refuses what JSON.parse does, and reads the same values', async t => {
  const random = new RandomJson(SEED)
  let accepted = 0
  let refused = 0
  for (let index = 0; index < VALID_CASES; index++) {
    const valid = random.value()
    const texts = [valid, ...Array.from({ length: MUTATIONS_PER_CASE }, () => random.mutate(valid))]
    for (const text of texts) {
      const expected = byJsonParse(text)
      const where = `seed ${SEED}, case ${index}: ${JSON.stringify(text)}`
      const expectedText = JSON.stringify(expected)
      // One assertion per fault, not per case: sixteen thousand passing ones would drown the report.
      if (JSON.stringify(byReader(text)) !== expectedText) t.fail(`the cursor differs, ${where}`)
      const parsed = outcome(() => parseJson(text, 100), error => error instanceof JsonSyntaxError)
      if (JSON.stringify(parsed) !== expectedText) t.fail(`the whole read differs, ${where}`)
      if ('refused' in expected) {
        refused++
        continue
      }
      accepted++
      const reader = new JsonReader(text, 100)
      if (reader.rawValue() !== text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')) t.fail(`the slice is not exact, ${where}`)
    }
  }
  t.ok(accepted > VALID_CASES && refused > VALID_CASES, `${accepted} accepted, ${refused} refused, seed ${SEED}`)
})
