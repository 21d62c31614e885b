/** A member of at most one queue. */
export interface Queued<T> {
  previous: T | null
  next: T | null
  isQueued: boolean
}

/** First in, first out; anything in it can be taken out at once. */
export class Fifo<T extends Queued<T>> {
  #first: T | null = null
  #last: T | null = null
  #size = 0

  get size (): number {
    return this.#size
  }

  get first (): T | null {
    return this.#first
  }

  append (item: T): void {
    this.#enter(item)
    item.previous = this.#last
    if (this.#last === null) this.#first = item
    else this.#last.next = item
    this.#last = item
  }

  prepend (item: T): void {
    this.#enter(item)
    item.next = this.#first
    if (this.#first === null) this.#last = item
    else this.#first.previous = item
    this.#first = item
  }

  remove (item: T): void {
    if (!item.isQueued) return
    if (item.previous === null) this.#first = item.next
    else item.previous.next = item.next
    if (item.next === null) this.#last = item.previous
    else item.next.previous = item.previous
    item.previous = item.next = null
    item.isQueued = false
    this.#size--
  }

  find (isWanted: (item: T) => boolean): T | null {
    for (let item = this.#first; item !== null; item = item.next) if (isWanted(item)) return item
    return null
  }

  #enter (item: T): void {
    if (item.isQueued) throw new Error('an item can be queued once')
    item.isQueued = true
    this.#size++
  }
}
