import { HashTable, NOWHERE } from './hash-table.ts'

/**
 * The deduplication window of one partition: the hashes of its messages of the last `windowMs`, each with its position,
 * complete up to the position `known`. Two generations, each begun when the one before is a window old; the older is
 * dropped once it has left the window as a whole. So nothing inside the window is ever missing, and what is found may
 * be older than it: whoever finds something asks the database, which knows its age and its text.
 */
export class DedupWindow {
  readonly windowMs: number
  known: number
  #young = new HashTable()
  #old: HashTable | null = null
  #youngSinceMs: number

  /** `nowMs` is the database's time. */
  constructor (windowMs: number, known: number, nowMs: number) {
    this.windowMs = windowMs
    this.known = known
    this.#youngSinceMs = nowMs
  }

  /** Slots held, for the memory budget. */
  get capacity (): number {
    return this.#young.capacity + (this.#old?.capacity ?? 0)
  }

  /** The positions a hash was written at. */
  find (hash: number): readonly number[] {
    const young = this.#young.find(hash)
    const old = this.#old?.find(hash) ?? NOWHERE
    return old.length === 0 ? young : [...young, ...old]
  }

  /** Take in the messages of one segment, written at `createdAtMs` (database time) from position `first` on. */
  add (hashes: Iterable<number>, first: number, createdAtMs: number): void {
    if (createdAtMs - this.#youngSinceMs > this.windowMs) {
      this.#old = this.#young
      this.#young = new HashTable()
      this.#youngSinceMs = createdAtMs
    }
    let position = first
    for (const hash of hashes) this.#young.add(hash, position++)
  }
}

/** Reads `first:hash,hash;first:…`, as the push functions return segments their caller did not know. */
export function * parseSegmentHashes (text: string): Generator<{ first: number, hashes: number[] }> {
  if (text === '') return
  for (const segment of text.split(';')) {
    const colon = segment.indexOf(':')
    yield { first: Number(segment.slice(0, colon)), hashes: segment.slice(colon + 1).split(',').map(Number) }
  }
}
