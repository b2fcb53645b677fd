import type { Change } from './redis-bus.ts'

const LIMIT = 10_000

/** What Redis has to be told when it is back: without it, old entries would be served again. */
export class Pending {
  #tags = new Set<string>()
  #keys = new Set<string>()
  #prefixes = new Set<string>()

  add([kind, ...names]: Change): void {
    const set = { tag: this.#tags, key: this.#keys, prefix: this.#prefixes }[kind]
    for (const name of names) set.add(name)
    // More than is worth remembering: everything may be old.
    if (this.#size > LIMIT) this.#reset(new Set(['']))
  }

  /** Everything, which is forgotten here. */
  take(): Change[] {
    const changes: Change[] = [
      ...Array.from(this.#prefixes, (prefix) => ['prefix', prefix] as const),
      ['tag', ...this.#tags],
      ['key', ...this.#keys],
    ]
    this.#reset(new Set())
    return changes.filter(([, ...names]) => names.length > 0)
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  get #size(): number {
    return this.#tags.size + this.#keys.size + this.#prefixes.size
  }

  #reset(prefixes: Set<string>): void {
    this.#tags = new Set()
    this.#keys = new Set()
    this.#prefixes = prefixes
  }
}
