import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { NamedKey } from './keys.ts'

const CIPHER = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const VERSION = 2

/** Why an envelope cannot be opened; the message never holds key material or plaintext. */
export class UnreadableError extends Error {
  constructor (reason: string, cause?: unknown) {
    super(reason, cause === undefined ? {} : { cause })
    this.name = 'UnreadableError'
  }
}

/** Seals texts into envelopes with its first key and opens those of all its keys. */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #active: NamedKey | undefined

  /** @param keys the sealing one first; without any, nothing can be sealed or opened */
  constructor (keys: readonly NamedKey[]) {
    this.#keys = new Map(keys.map(({ kid, key }) => [kid, key]))
    this.#active = keys[0]
  }

  get canSeal (): boolean {
    return this.#active !== undefined
  }

  /**
   * Encrypt a text.
   * @param context what the envelope is bound to: it opens with the same context only
   * @returns the envelope as JSON text on one line, or null without a key
   */
  seal (context: string, text: string): string | null {
    if (this.#active === undefined) return null
    const { kid, key } = this.#active
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
    cipher.setAAD(Buffer.from(context))
    const encrypted = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return `{"encrypted":"${encrypted.toString('base64')}","iv":"${iv.toString('base64')}",` +
      `"authTag":"${cipher.getAuthTag().toString('base64')}","kid":"${kid}","v":${VERSION}}`
  }

  /**
   * The text in an envelope.
   * @param context as it was sealed with
   * @throws UnreadableError when it is no envelope, its key is not here, or it was not sealed so
   */
  open (context: string, envelope: string): string {
    const { encrypted, iv, authTag, kid } = parseEnvelope(envelope)
    const key = this.#keys.get(kid)
    if (key === undefined) throw new UnreadableError(`there is no key with the kid ${kid} here`)
    try {
      // With the length given, a tag cut short, which would be easier to forge, is refused.
      const decipher = createDecipheriv(CIPHER, key, Buffer.from(iv, 'base64'), { authTagLength: TAG_BYTES })
      decipher.setAuthTag(Buffer.from(authTag, 'base64'))
      decipher.setAAD(Buffer.from(context))
      return Buffer.concat([decipher.update(encrypted, 'base64'), decipher.final()]).toString()
    } catch (error) {
      throw new UnreadableError(`the key with the kid ${kid} does not open it: it is another key, or the message was changed or moved`, error)
    }
  }
}

interface Envelope { encrypted: string, iv: string, authTag: string, kid: string }

const KID = /^[A-Za-z0-9_-]{1,32}$/

function parseEnvelope (text: string): Envelope {
  let value: Partial<Record<keyof Envelope | 'v', unknown>> | null
  try {
    value = JSON.parse(text) as typeof value
  } catch {
    throw new UnreadableError('its envelope is damaged')
  }
  const { encrypted, iv, authTag, kid, v } = value ?? {}
  if (v !== VERSION || typeof encrypted !== 'string' || typeof iv !== 'string' || typeof authTag !== 'string' ||
    typeof kid !== 'string' || !KID.test(kid)) throw new UnreadableError('its envelope is damaged or of an unknown version')
  return { encrypted, iv, authTag, kid }
}
