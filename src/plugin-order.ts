import { errors } from './errors.ts'

/** Something that comes before or behind others. */
export interface Placed {
  readonly name: string
  readonly needs?: readonly string[]
  readonly after?: readonly string[]
}

/**
 * Sorts by what each needs and comes after; as they are given where that leaves a choice.
 *
 * @param howTo what to do where one is missing, by its name
 * @throws {PlinthError} PLUGIN_MISSING, PLUGIN_CIRCLE
 */
export function inOrder<T extends Placed>(
  given: readonly T[],
  howTo: (need: string) => string = () => 'add it to plugins',
): T[] {
  const names = new Set(given.map(({ name }) => name))
  for (const { name, needs = [] } of given) {
    const missing = needs.find((need) => !names.has(need))
    if (missing) throw errors.PLUGIN_MISSING(name, missing, howTo(missing))
  }
  const rest = [...given]
  const placed: T[] = []
  while (rest.length > 0) {
    const free = rest.findIndex(({ needs = [], after = [] }) =>
      rest.every(({ name }) => !needs.includes(name) && !after.includes(name)),
    )
    if (free === -1) throw errors.PLUGIN_CIRCLE(rest.map(({ name }) => name).join(', '))
    placed.push(...rest.splice(free, 1))
  }
  return placed
}
