import type { ColumnState } from '../schema/state.ts'

/** What is wrong, in words that end in what to do; undefined: nothing. */
export type Problem = string | undefined

/** The first problem that `check` finds with one of `items`. */
export function first<T>(items: readonly T[], check: (item: T) => Problem): Problem {
  for (const item of items) {
    const problem = check(item)
    if (problem) return problem
  }
  return undefined
}

/** How many bytes a column may take in an index or a row of MySQL, about. */
export function bytesOf(type: ColumnState['type']): number {
  if (type === 'uuid') return 36
  const length = typeof type === 'string' ? /^(?:var)?char\((\d+)\)$/.exec(type)?.[1] : undefined
  return length === undefined ? 12 : Number(length) * 4
}

/** Whether two names differ in capitals at most, which not every database tells apart. */
export const alike = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()
