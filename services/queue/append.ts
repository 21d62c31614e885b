import type { Pool } from '../database/pool.ts'
import type { KeyRing } from '../encryption/key-ring.ts'
import { sealLine } from '../encryption/sealed-line.ts'
import { RegentError, hasCode } from '../errors.ts'
import { parseSegmentHashes } from '../log/dedup-window.ts'
import { settleDuplicates } from './duplicates.ts'
import { groupByPartition, settle } from './outgoing.ts'
import type { Outgoing, OutgoingGroup } from './outgoing.ts'
import type { PartitionDirectory, PartitionEntry } from './partition-directory.ts'
import { knownNow, packPush, pushArguments } from './push-call.ts'
import type { PushPart, PushRow } from './push-call.ts'

// Each round settles something: a partition conflicts only when somebody else wrote to it in between.
const MOST_ROUNDS = 50

/** Runs the statement that writes the parts; transactions put their own around it. Returns a row per part. */
export type WriteParts = (parts: PushPart[]) => Promise<PushRow[]>

/**
 * Gets messages into the log, each exactly once: finds partitions, settles duplicates, writes, and looks again where
 * another process was quicker. Every message has a result afterwards.
 * @throws RGT_QUEUE_FULL, RGT_ENCRYPTION_KEY_MISSING, and what Pool.call throws; messages of a call whose outcome is unknown are marked as ours, so that a repeated
 *   append recognises them
 */
export class Appender {
  readonly #pool: Pool
  readonly #directory: PartitionDirectory
  readonly #keys: KeyRing

  constructor (pool: Pool, directory: PartitionDirectory, keys: KeyRing) {
    this.#pool = pool
    this.#directory = directory
    this.#keys = keys
  }

  async append (messages: readonly Outgoing[], write: WriteParts = async parts => await this.#write(parts)): Promise<void> {
    // After a call that was split, the message it duplicates may be in another part.
    for (const outgoing of messages) outgoing.duplicateOf = null
    const groups = groupByPartition(messages)
    const found = new Map<string, Map<number, number[]>>()
    const checkedTo = new Map<string, number>()
    for (let round = 0; round < MOST_ROUNDS; round++) {
      // With nothing left to push there is still a write: a transaction has its acknowledgements to do.
      const parts = await this.#plan(groups, found, checkedTo)
      const rows = await this.#tryWrite(parts, write)
      this.#apply(parts, rows, found, checkedTo)
      if (rows.every(row => row.outcome === 'ok')) break
    }
    for (const outgoing of messages) {
      if (outgoing.result === null && outgoing.duplicateOf?.result != null) {
        const { partitionId, position } = outgoing.duplicateOf.result
        settle(outgoing, 'duplicate', partitionId, position)
      }
      if (outgoing.result === null) throw new RegentError('RGT_OVERLOADED')
    }
  }

  async #plan (groups: Map<string, OutgoingGroup>, found: Map<string, Map<number, number[]>>, checkedTo: Map<string, number>): Promise<PushPart[]> {
    const open = [...groups.values()].filter(group => group.messages.some(isOpen))
    const entries = await this.#directory.resolve(open)
    await this.#directory.loadWindows(entries.values())
    // Noted in the same turn in which the windows are searched: by the time the suspicions are settled, another lane may
    // have taken a window further, past messages these have not been compared with.
    const targets = open.map(group => {
      const entry = entryFor(entries, group)
      return { entry, messages: group.messages, known: knownNow(entry, checkedTo.get(entry.key)) }
    })
    await settleDuplicates(this.#pool, targets, found)
    return targets
      .map(target => ({ ...target, messages: target.messages.filter(isOpen) }))
      .filter(part => part.messages.length > 0)
      .sort((a, b) => a.entry.id - b.entry.id)
      .map(part => ({ ...part, lines: part.messages.map(outgoing => this.#stored(part.entry, outgoing)) }))
  }

  /** The queue decides, as it is configured now: a message may have been sealed at an earlier try, or not yet. */
  #stored (entry: PartitionEntry, outgoing: Outgoing): string {
    if (!entry.isEncrypted) return outgoing.line
    // Refused here, the database cannot say that the queue does not encrypt any more: it is asked anew next time.
    if (!this.#keys.canSeal) this.#directory.forget(entry.key)
    outgoing.sealed ??= sealLine(this.#keys, entry, outgoing.line)
    return outgoing.sealed
  }

  async #tryWrite (parts: PushPart[], write: WriteParts): Promise<PushRow[]> {
    try {
      return await write(parts)
    } catch (error) {
      if (hasCode(error, 'RGT_OUTCOME_UNKNOWN')) {
        for (const { entry, messages } of parts) {
          for (const outgoing of messages) {
            outgoing.isOurs = true
            outgoing.mayBeStored = true
            outgoing.isRecognisable = entry.windowSeconds > 0
          }
        }
      }
      throw error
    }
  }

  #apply (parts: PushPart[], rows: PushRow[], found: Map<string, Map<number, number[]>>, checkedTo: Map<string, number>): void {
    for (const row of rows) {
      const part = parts[row.idx - 1]
      if (part === undefined) continue
      const { entry, messages, known } = part
      const base = Number(row.base)
      if (row.outcome === 'full') throw new RegentError('RGT_QUEUE_FULL', { detail: row.foreign_tx ?? '' })
      if (!row.complete) this.#directory.dropWindow(entry)
      if (row.outcome === 'gone') {
        this.#directory.forget(entry.key)
        checkedTo.delete(entry.key)
      } else if (row.outcome === 'conflict') {
        if (entry.window === null) {
          found.set(entry.key, positionsByHash(row.foreign_tx ?? ''))
          checkedTo.set(entry.key, base)
        } else {
          this.#directory.learn(entry, known, row.foreign_tx, base, [], row.at_ms)
        }
      } else {
        for (const [i, outgoing] of messages.entries()) {
          outgoing.writtenTo = entry
          settle(outgoing, 'queued', entry.id, base + 1 + i)
        }
        this.#directory.learn(entry, known, row.foreign_tx, base, messages.map(outgoing => outgoing.hash), row.at_ms)
      }
    }
  }

  async #write (parts: PushPart[]): Promise<PushRow[]> {
    if (parts.length === 0) return []
    const a = packPush(parts)
    return await this.#pool.call<PushRow & Record<string, unknown>>((sql, schema) => sql`
      select idx, outcome, base, at_ms, foreign_tx, complete
        from ${schema}.push_v2(${pushArguments(sql, a)})`, undefined, 'push')
  }
}

function isOpen (outgoing: Outgoing): boolean {
  return outgoing.result === null && outgoing.duplicateOf === null
}

function entryFor (entries: Map<string, PartitionEntry>, group: OutgoingGroup): PartitionEntry {
  const entry = entries.get(group.key)
  // Deleted between being made and being read; the client's next try makes it again.
  if (entry === undefined) throw new RegentError('RGT_OVERLOADED')
  return entry
}

function positionsByHash (text: string): Map<number, number[]> {
  const positions = new Map<number, number[]>()
  for (const { first, hashes } of parseSegmentHashes(text)) {
    for (const [i, hash] of hashes.entries()) {
      const list = positions.get(hash)
      if (list === undefined) positions.set(hash, [first + i])
      else list.push(first + i)
    }
  }
  return positions
}
