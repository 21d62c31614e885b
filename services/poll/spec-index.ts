import type { Hint } from './hint.ts'
import { Spec, specKey } from './spec.ts'
import type { PopRequest } from './types.ts'

/** The specs somebody waits for, found by what they want or by what may wake them. */
export class SpecIndex {
  readonly #specs = new Map<string, Spec>()
  /** By the short name of the queue; those that want any queue with a label under the empty one. */
  readonly #byQueue = new Map<string, Set<Spec>>()

  get size (): number {
    return this.#specs.size
  }

  values (): IterableIterator<Spec> {
    return this.#specs.values()
  }

  /** The spec of a request, made when it is the first to want this. */
  specFor (request: PopRequest): Spec {
    const key = specKey(request)
    const known = this.#specs.get(key)
    if (known !== undefined) return known
    const spec = new Spec(key, request)
    this.#specs.set(key, spec)
    const siblings = this.#byQueue.get(spec.names.queue)
    if (siblings === undefined) this.#byQueue.set(spec.names.queue, new Set([spec]))
    else siblings.add(spec)
    return spec
  }

  delete (spec: Spec): void {
    this.#specs.delete(spec.key)
    const siblings = this.#byQueue.get(spec.names.queue)
    siblings?.delete(spec)
    if (siblings?.size === 0) this.#byQueue.delete(spec.names.queue)
  }

  /** The specs a hint can mean something for. */
  * meantBy (hint: Hint): Generator<Spec> {
    if (hint.kind === 'all') {
      yield * this.#specs.values()
      return
    }
    if (hint.kind === 'settings') return
    for (const spec of this.#byQueue.get(hint.queue) ?? []) if (spec.isMeantBy(hint)) yield spec
    for (const spec of this.#byQueue.get('') ?? []) if (spec.isMeantBy(hint)) yield spec
  }
}
