import {
  addRename,
  findRenames,
  type Rename,
  type Renames,
  renameProblem,
} from '../src/database/migration/renames.ts'
import type { SchemaState } from '../src/database/schema/state.ts'
import { errors } from '../src/errors.ts'
import { askSeveral } from './_ask.ts'

/**
 * The renames that flags name, as `city=town` or `city.inhabitants=city.population`.
 *
 * @param wrong ends the command for wrong usage
 */
export function namedRenames(
  from: SchemaState,
  to: SchemaState,
  flags: readonly string[],
  wrong: (problem: string) => never,
): Renames {
  // Tables first: the new place of a column has the new name of its table.
  const sorted = flags.toSorted((a, b) => Number(a.includes('.')) - Number(b.includes('.')))
  return sorted.reduce<Renames>((known, flag) => {
    const [old, now, ...rest] = flag.split('=')
    if (!old || !now || rest.length > 0) return wrong(`--rename ${flag} is not as old=new`)
    const rename = { from: old, to: now }
    const problem = renameProblem(rename, from, to, known)
    return problem ? wrong(`--rename ${flag}: ${problem}`) : addRename(known, rename)
  }, {})
}

/**
 * Asks for each possible rename whether it is one.
 *
 * @param canAsk whether somebody is there who can answer
 * @throws {PlinthError} MIGRATION_UNCLEAR where nobody is, and there is something to ask
 */
export async function chooseRenames(
  from: SchemaState,
  to: SchemaState,
  named: Renames,
  canAsk: boolean,
): Promise<Renames> {
  const candidates = findRenames(from, to, named)
  if (candidates.length === 0) return named
  const flags = candidates.map((one) => `  --rename ${one.from}=${one.to}`)
  const unclear = () => errors.MIGRATION_UNCLEAR(flags.join('\n'))
  if (!canAsk) throw unclear()
  const chosen = await askSeveral((ask) =>
    askAll(from, to, named, (one) => ask(`Was ${one.from} renamed to ${one.to}? [y/N] `)),
  )
  if (!chosen) throw unclear()
  return chosen
}

/** What is left to ask depends on each answer: nothing is renamed twice. */
async function askAll(
  from: SchemaState,
  to: SchemaState,
  named: Renames,
  ask: (rename: Rename) => Promise<string>,
): Promise<Renames> {
  const refused = new Set<string>()
  let renames = named
  for (;;) {
    const next = findRenames(from, to, renames).find((one) => !refused.has(`${one.from}=${one.to}`))
    if (!next) return renames
    if (/^y(es)?$/i.test((await ask(next)).trim())) renames = addRename(renames, next)
    else refused.add(`${next.from}=${next.to}`)
  }
}
