import { createHash, createSecretKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** A key and the name by which what it sealed refers to it. */
export interface NamedKey {
  readonly kid: string
  readonly key: KeyObject
}

export interface KeyOptions {
  /** 64 hex digits: one key, named after itself. */
  encryptionKey: string | undefined
  /** `kid:hex,kid:hex…`: the first seals, all open. */
  encryptionKeys: string | undefined
}

const KEY = /^[0-9a-f]{64}$/i
const ENTRY = /^([A-Za-z0-9_-]{1,32}):([0-9a-f]{64})$/i
const KID_DIGITS = 8

/** What is wrong with a single key, without its value; null when nothing is. */
export function keyFault (text: string): string | null {
  return KEY.test(text) ? null : 'must be 64 hexadecimal digits, which are 32 bytes'
}

/** What is wrong with a ring of keys, without its values; null when nothing is. */
export function ringFault (text: string): string | null {
  const kids = new Set<string>()
  for (const [i, entry] of text.split(',').entries()) {
    const kid = ENTRY.exec(entry)?.[1]
    if (kid === undefined) return `entry ${i + 1} must be kid:key: up to 32 letters, digits, _ and -, a colon and 64 hexadecimal digits`
    if (kids.has(kid)) return `entry ${i + 1} has the kid of an earlier one`
    kids.add(kid)
  }
  return null
}

/** What is wrong with a single key and a ring together; null when nothing is, or one of them is not valid by itself. */
export function pairFault (encryptionKey: unknown, encryptionKeys: unknown): string | null {
  if (typeof encryptionKey !== 'string' || keyFault(encryptionKey) !== null) return null
  if (typeof encryptionKeys !== 'string' || ringFault(encryptionKeys) !== null) return null
  const single = namedAfterItself(encryptionKey)
  const same = readRing(encryptionKeys).find(({ kid }) => kid === single.kid)
  return same === undefined || same.key.equals(single.key) ? null : 'one of its keys has the kid of the single key but is another one'
}

/** The keys of the options, the sealing one first; none when none are given. The options have been checked. */
export function readKeys ({ encryptionKey, encryptionKeys }: KeyOptions): NamedKey[] {
  const ring = encryptionKeys === undefined ? [] : readRing(encryptionKeys)
  return encryptionKey === undefined ? ring : [...ring, namedAfterItself(encryptionKey)]
}

function readRing (text: string): NamedKey[] {
  return text.split(',').map(entry => {
    const colon = entry.indexOf(':')
    return { kid: entry.slice(0, colon), key: secret(entry.slice(colon + 1)) }
  })
}

/** Two services given the same key agree on its name without being told one. */
function namedAfterItself (hex: string): NamedKey {
  const kid = createHash('sha256').update(hex, 'hex').digest('hex').slice(0, KID_DIGITS)
  return { kid, key: secret(hex) }
}

/** A key object rather than bytes: it shows nothing of itself when it is logged or inspected. */
function secret (hex: string): KeyObject {
  return createSecretKey(hex, 'hex')
}
