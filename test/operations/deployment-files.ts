// What the Dockerfile, the Compose file and the Kubernetes manifest say, as far as tests ask for it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectDir } from '../fixtures/server-process.ts'

export interface Instruction { verb: string, words: string }

export function read (path: string): string {
  return readFileSync(join(projectDir, path), 'utf8')
}

/** The instructions of a Dockerfile, continued lines as one. */
export function instructions (dockerfile: string): Instruction[] {
  const lines = dockerfile.split('\n').filter(line => !/^\s*(#|$)/.test(line)).join('\n').replaceAll(/\\\n\s*/g, '').split('\n')
  return lines.map(line => {
    const [, verb = '', words = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? []
    return { verb, words }
  })
}

/** The words of all instructions of a kind. */
export function wordsOf (dockerfile: string, verb: string): string[] {
  return instructions(dockerfile).filter(instruction => instruction.verb === verb).map(instruction => instruction.words)
}

/** The variables that ENV sets. */
export function imageEnvironment (dockerfile: string): Record<string, string> {
  return Object.fromEntries(wordsOf(dockerfile, 'ENV').flatMap(words => words.split(/\s+/)).map(pair => pair.split('=', 2) as [string, string])) // each has a name and a value
}

/** A command that is given as a list, so that no shell is in between. */
export function command (dockerfile: string, verb: 'CMD' | 'HEALTHCHECK'): string[] {
  const [words = ''] = wordsOf(dockerfile, verb)
  return JSON.parse(words.slice(words.indexOf('[')))
}

/** Whether a path below the project is sent to the builder: the last pattern that it falls under decides. */
export function isSent (dockerignore: string, path: string): boolean {
  let isIn = true
  const [top = ''] = path.split('/')
  for (const line of dockerignore.split('\n').filter(line => !/^\s*(#|$)/.test(line))) {
    const pattern = new RegExp(`^${line.replace(/^!/, '').replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')}$`)
    if (pattern.test(top) || pattern.test(path)) isIn = line.startsWith('!')
  }
  return isIn
}

/** One service of a Compose file, as text. */
export function composeService (compose: string, name: string): string {
  return new RegExp(`^ {2}${name}:\n((?: {4}.*\n|\n)+)`, 'm').exec(compose)?.[1] ?? ''
}

/** All that a pattern's first group finds. */
export function all (text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, found = '']) => found)
}
