/** What has a name that is not what makes it what it is: an index, a unique index, a foreign key. */
export interface Named {
  readonly name: string
}

export interface Matched<T> {
  /** There before and after: as it is, and as it is wanted, which may differ in the name. */
  readonly kept: readonly (readonly [before: T, after: T])[]
  readonly dropped: readonly T[]
  readonly added: readonly T[]
}

/**
 * Finds what of `before` is still there in `after`.
 *
 * @param isSame whether two are the same but for their names
 * @param mayKeep whether one may stay under its name where another is wanted
 */
export function match<T extends Named>(
  before: readonly T[],
  after: readonly T[],
  isSame: (before: T, after: T) => boolean,
  mayKeep: (before: T, after: T) => boolean,
): Matched<T> {
  const kept = new Map<T, T>()
  // Those of the same name first, so that none of them is taken for another.
  for (const fits of [(b: T, a: T) => b.name === a.name, mayKeep]) {
    for (const one of after) {
      if (kept.has(one)) continue
      const taken = new Set(kept.values())
      const found = before.find((b) => !taken.has(b) && isSame(b, one) && fits(b, one))
      if (found) kept.set(one, found)
    }
  }
  const taken = new Set(kept.values())
  return {
    kept: Array.from(kept, ([a, b]) => [b, a] as const),
    dropped: before.filter((one) => !taken.has(one)),
    added: after.filter((one) => !kept.has(one)),
  }
}
