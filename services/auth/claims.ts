import { RegentError } from '../errors.ts'
import { accessOf } from './access.ts'
import type { NeededAccess, Role } from './access.ts'
import { readPatterns, readSubject } from './caller.ts'
import type { Caller } from './caller.ts'

/** Under which names a token holds what we want to know. */
export interface ClaimNames {
  /** Claim with one role, claim with several. */
  role: string
  roles: string
  /** Claim with patterns of queue names; undefined: tokens are not limited to queues. */
  queues: string | undefined
  /** What each role is called. */
  roleNames: Readonly<Record<Role, string>>
}

/** Who has shown a token, and what its roles allow. */
export interface TokenCaller extends Caller {
  readonly access: ReadonlySet<NeededAccess>
}

/**
 * The caller from the claims of a verified token. Roles that are not texts are no roles. A subject or patterns that
 * cannot be used refuse the token: ignored, they would allow more than was meant.
 * @throws RegentError RGT_TOKEN_INVALID
 */
export function callerOf (claims: Readonly<Record<string, unknown>>, names: ClaimNames): TokenCaller {
  const claim = (name: string): unknown => Object.hasOwn(claims, name) ? claims[name] : undefined
  const several = claim(names.roles)
  const words = new Set<unknown>([claim(names.role), ...Array.isArray(several) ? several : []])
  const roles = Object.entries(names.roleNames).filter(([, word]) => words.has(word)).map(([role]) => role as Role) // its keys are roles
  try {
    return {
      subject: readSubject(claim('sub'), 'sub'),
      queues: names.queues === undefined ? null : queuesOf(claim(names.queues), names.queues),
      access: accessOf(new Set(roles))
    }
  } catch (error) {
    throw new RegentError('RGT_TOKEN_INVALID', { detail: `Invalid claim: ${(error as Error).message}` })
  }
}

function queuesOf (value: unknown, name: string): Caller['queues'] {
  if (value === undefined) return null
  return readPatterns(typeof value === 'string' ? [value] : value, name)
}
