export interface Matcher { label: string, operator: string, value: string }

/** What an expression reads and keeps. */
export interface Expression {
  selectors: { name: string, matchers: Matcher[] }[]
  /** Labels that it groups by. */
  groupings: string[]
}

const TOKEN = /"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\d[\w.]*|==|=~|!~|!=|>=|<=|[-=<>+*/(){},]|\s+/gy
const FUNCTIONS = new Set(['avg_over_time', 'delta', 'deriv', 'histogram_quantile', 'increase', 'max', 'min', 'rate', 'resets', 'sum'])
const OPERATORS = new Set(['and', 'or', 'unless'])
const GROUPING = new Set(['by', 'without', 'on', 'ignoring'])

/** Reads the part of PromQL that the dashboard and the alerts use; throws for anything else. */
export function readExpression (text: string): Expression {
  const tokens = tokensOf(text)
  const selectors: Expression['selectors'] = []
  const groupings: string[] = []
  let depth = 0
  const next = (): string => tokens.shift() ?? ''
  const expect = (wanted: string): void => {
    const token = next()
    if (token !== wanted) throw new Error(`${wanted} expected, not ${token}: ${text}`)
  }
  while (tokens.length > 0) {
    const token = next()
    if (token === '(') depth++
    if (token === ')') depth--
    if (depth < 0) throw new Error(`too many closing brackets: ${text}`)
    if (!/^[a-zA-Z_:]/.test(token) || OPERATORS.has(token)) continue
    if (GROUPING.has(token)) {
      expect('(')
      for (let label = next(); ; label = next()) {
        groupings.push(label)
        const after = next()
        if (after === ')') break
        if (after !== ',') throw new Error(`labels: ${text}`)
      }
    } else if (FUNCTIONS.has(token)) {
      if (tokens[0] !== '(' && !GROUPING.has(tokens[0] ?? '')) throw new Error(`${token} of what? ${text}`)
    } else {
      if (tokens[0] === '(') throw new Error(`unknown function ${token}: ${text}`)
      selectors.push({ name: token, matchers: tokens[0] === '{' ? matchersOf(tokens, text) : [] })
    }
  }
  if (depth !== 0) throw new Error(`brackets are left open: ${text}`)
  return { selectors, groupings }
}

function tokensOf (text: string): string[] {
  const tokens: string[] = []
  let end = 0
  for (const match of text.matchAll(TOKEN)) {
    end = match.index + match[0].length
    if (match[0].trim() !== '') tokens.push(match[0])
  }
  if (end !== text.length) throw new Error(`not understood from ${text.slice(end)}: ${text}`)
  return tokens
}

function matchersOf (tokens: string[], text: string): Matcher[] {
  const matchers: Matcher[] = []
  tokens.shift()
  while (tokens[0] !== '}') {
    const [label = '', operator = '', value = ''] = tokens.splice(0, 3)
    if (!/^(=|!=|=~|!~)$/.test(operator) || !value.startsWith('"')) throw new Error(`labels: ${text}`)
    matchers.push({ label, operator, value: value.slice(1, -1) })
    if (tokens[0] === ',') tokens.shift()
    else if (tokens[0] !== '}') throw new Error(`labels: ${text}`)
  }
  tokens.shift()
  return matchers
}
