import {
  type Draft,
  type Fills,
  findUnfilled,
  readFill,
  type Unfilled,
} from '../src/database/migration/writer.ts'
import { askSeveral } from './_ask.ts'

/**
 * What flags say to fill in, as `city.kind=town`.
 *
 * @param wrong ends the command for wrong usage
 */
export function namedFills(
  draft: Draft,
  flags: readonly string[],
  wrong: (problem: string) => never,
): Fills {
  const unfilled = findUnfilled(draft.operations)
  const named = flags.map((flag) => {
    const [, place = '', text = ''] = /^([^=]+)=(.*)$/s.exec(flag) ?? []
    const found = unfilled.find((one) => one.place === place)
    const places = unfilled.map((one) => one.place).join(', ') || 'none'
    if (!found) return wrong(`--fill ${flag} is not as table.column=value, of: ${places}`)
    const read = readFill(text, found.column)
    return typeof read === 'string'
      ? wrong(`--fill ${flag}: ${read}`)
      : ([place, read.fill] as const)
  })
  return Object.fromEntries(named)
}

/**
 * Asks for each column what rows get that are there; no answer leaves it, which only an empty table takes.
 *
 * @returns undefined: it was broken off
 */
export function askFills(unfilled: readonly Unfilled[]): Promise<Fills | undefined> {
  return askSeveral(async (ask) => {
    const fills: Record<string, Fills[string]> = {}
    for (const one of unfilled) {
      const fill = await askFill(one, ask)
      if (fill !== undefined) fills[one.place] = fill
    }
    return fills
  })
}

async function askFill(
  { place, column }: Unfilled,
  ask: (question: string) => Promise<string>,
): Promise<Fills[string] | undefined> {
  const type = typeof column.type === 'string' ? column.type : column.type.mysql
  const question = `What do rows get for ${place} (${type}) that are there? [none are] `
  for (let problem = ''; ; ) {
    const text = (await ask(`${problem}${question}`)).trim()
    if (text === '') return undefined
    const read = readFill(text, column)
    if (typeof read !== 'string') return read.fill
    problem = `${read}\n`
  }
}
