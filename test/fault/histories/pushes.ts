import { parseAddress } from '../../../services/log/ids.ts'
import { isDeduplicated, isPlain, planOf } from './queues.ts'

/** Where a message goes, and as what. Without a transaction id of its own the service makes one. */
export interface Item { queue: string, partition: string, transactionId: string | null }

/**
 * What became of an item. `unknown`: it may be stored, now or a little later, at most once. `refused`: its client was told that
 * nothing was stored.
 */
export type Fate = 'open' | 'queued' | 'duplicate' | 'buffered' | 'unknown' | 'refused'

/** One item of one call. */
export interface Entry extends Item {
  call: PushCall
  index: number
  fate: Fate
  /** The message's id as it was told; for a duplicate that of the first. */
  id: string | null
}

/** One request that pushes. */
export interface PushCall {
  readonly number: number
  readonly kind: 'push' | 'transaction'
  /** Of the instance it went to: what is buffered is in its folder. */
  readonly folder: number
  readonly sentAt: number
  endedAt: number
  readonly entries: Entry[]
}

/** What is pushed says which item of which call it is. */
export interface Payload { call: number, index: number, filler: string }

interface PushResult { index: unknown, status: unknown, message_id?: unknown, messageId?: unknown, transaction_id?: unknown, transactionId?: unknown, queueName: unknown }

/** What producers were told about what they pushed, and what of it cannot be. */
export class Pushes {
  readonly calls: PushCall[] = []
  readonly faults: string[]
  /** Entries with an own transaction id, by place and id. */
  readonly byKey = new Map<string, Entry[]>()
  /** What is stored where, as far as clients have been told. */
  readonly told = new Map<string, { key: string, payload: string | null }>()
  readonly #idOf = new Map<string, string>()
  readonly #partitions = new Map<number, string>()

  constructor (faults: string[]) {
    this.faults = faults
  }

  begin (kind: PushCall['kind'], folder: number, items: readonly Item[]): PushCall {
    const call: PushCall = { kind, folder, number: this.calls.length, sentAt: performance.now(), endedAt: Infinity, entries: [] }
    this.calls.push(call)
    for (const [index, item] of items.entries()) {
      const entry: Entry = { ...item, call, index, fate: 'open', id: null }
      call.entries.push(entry)
      if (item.transactionId === null) continue
      const key = keyOf(entry)
      const known = this.byKey.get(key)
      if (known === undefined) this.byKey.set(key, [entry])
      else known.push(entry)
    }
    return call
  }

  /** The call was not answered with results. */
  end (call: PushCall, fate: 'unknown' | 'refused'): void {
    call.endedAt = performance.now()
    for (const entry of call.entries) entry.fate = fate
  }

  /** The call was answered with a result per item. */
  answered (call: PushCall, results: readonly PushResult[]): void {
    call.endedAt = performance.now()
    if (results.length !== call.entries.length) this.#fault(call, `${call.entries.length} items were answered with ${results.length} results`)
    for (const [i, entry] of call.entries.entries()) {
      const result = results[i]
      if (result !== undefined) this.#settle(entry, result)
    }
  }

  /** A message was seen at its place. */
  seen (message: { id: string, queue: string, partition: string, transactionId: string, data: Payload }): void {
    const { id, queue, partition, transactionId, data } = message
    const entry = this.entryOf(data)
    if (entry === undefined) {
      this.faults.push(`${queue}/${partition}: ${id} was delivered and never pushed`)
      return
    }
    if (entry.queue !== queue || entry.partition !== partition || (entry.transactionId ?? transactionId) !== transactionId) {
      this.faults.push(`${queue}/${partition}: ${id} was delivered with the payload of ${nameOf(entry)}`)
    }
    if (entry.fate === 'refused' || entry.fate === 'duplicate') this.faults.push(`${nameOf(entry)} was delivered as ${id} and had been answered ${entry.fate}`)
    this.#place(entry, id, `${data.call}.${data.index}`)
  }

  entryOf ({ call, index }: Payload): Entry | undefined {
    return this.calls[call]?.entries[index]
  }

  #settle (entry: Entry, result: PushResult): void {
    const { call, index } = entry
    // Results of a transaction stand among others, and are spelled otherwise.
    const isTransaction = call.kind === 'transaction'
    const transactionId = isTransaction ? result.transactionId : result.transaction_id
    const id = isTransaction ? result.messageId : result.message_id
    const { status } = result
    if ((!isTransaction && result.index !== index) || result.queueName !== entry.queue || typeof transactionId !== 'string' ||
        (entry.transactionId !== null && transactionId !== entry.transactionId)) {
      this.#fault(call, `item ${index} was answered ${JSON.stringify(result)}`)
    }
    if (status === 'buffered' && !isTransaction && id === undefined) {
      entry.fate = 'buffered'
      return
    }
    if ((status !== 'queued' && status !== 'duplicate') || typeof id !== 'string') {
      this.#fault(call, `item ${index} was answered ${JSON.stringify(result)}`)
      entry.fate = 'unknown'
      return
    }
    entry.fate = status
    entry.id = id
    const plan = planOf(entry.queue)
    if (status === 'duplicate') {
      if (isPlain(plan)) this.#fault(call, `${nameOf(entry)} was answered duplicate in a queue without a window`)
      const others = this.#others(entry).filter(other => other.fate !== 'refused' && other.call.sentAt < call.endedAt)
      if (others.length === 0) this.#fault(call, `${nameOf(entry)} was answered duplicate and nobody else had pushed it`)
    } else if (isDeduplicated(plan)) {
      const first = this.#others(entry).find(other => other.fate === 'queued' && other.call.endedAt < call.sentAt)
      if (first !== undefined && first.id !== id) this.#fault(call, `${nameOf(entry)} was stored again as ${id}, after ${first.id}`)
    }
    this.#place(entry, id, null)
  }

  /** One id stands for one message, and in a queue with a window one message has one id. */
  #place (entry: Entry, id: string, payload: string | null): void {
    const key = entry.transactionId === null ? `${entry.call.number}.${entry.index}` : keyOf(entry)
    const known = this.told.get(id)
    if (known === undefined) this.told.set(id, { key, payload })
    else if (known.key !== key || (payload !== null && known.payload !== null && known.payload !== payload)) this.faults.push(`${id} stands for ${known.key} (${known.payload}) and for ${key} (${payload})`)
    else known.payload ??= payload
    const address = parseAddress(id)
    const place = `${entry.queue}/${entry.partition}`
    const placeBefore = address === null ? undefined : this.#partitions.get(address.partition)
    if (address === null || address.position < 1 || (placeBefore ?? place) !== place) this.faults.push(`${id} is no id of a message in ${place}`)
    else this.#partitions.set(address.partition, place)
    if (!isDeduplicated(planOf(entry.queue))) return
    const before = this.#idOf.get(key)
    if (before !== undefined && before !== id) this.faults.push(`${key} has two ids, ${before} and ${id}`)
    this.#idOf.set(key, id)
  }

  #others (entry: Entry): Entry[] {
    return entry.transactionId === null ? [] : (this.byKey.get(keyOf(entry)) ?? []).filter(other => other !== entry)
  }

  #fault (call: PushCall, text: string): void {
    this.faults.push(`${call.kind} ${call.number} to instance ${call.folder}: ${text}`)
  }
}

export function keyOf ({ queue, partition, transactionId }: Item): string {
  return `${queue}/${partition}/${transactionId ?? ''}`
}

export function nameOf (entry: Entry): string {
  return `${entry.queue}/${entry.partition}/${entry.transactionId ?? 'without an id'} (item ${entry.index} of ${entry.call.kind} ${entry.call.number})`
}
