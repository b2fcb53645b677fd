import { type Kysely, sql } from 'kysely'
import type { SchemaState } from '../schema/state.ts'
import { definitionOf } from './operations/index.ts'
import type { CompiledStep, Operation, Trial } from './operations/operation.ts'

/** What the rows that are there would make fail of one operation of a migration. */
export interface PlacedTrial extends Trial {
  /** From 0. */
  readonly operation: number
}

/**
 * What of a migration of MySQL can be tried on the rows before anything of it happens: each statement is committed by itself, so what fails
 * behind another leaves half a migration. Of operations behind a step by hand, or on what an earlier one has changed, nobody knows.
 *
 * @param before the schema that the first operation is done to
 * @param steps what the database does for each of them
 */
export function trialsOf(
  operations: readonly Operation[],
  before: SchemaState,
  steps: readonly (readonly CompiledStep[])[],
): PlacedTrial[] {
  const untried = firstOnly(steps)
  const changed = new Set<string>()
  const isAsBefore = ([table, columns]: Trial['about'][number]) =>
    before[table] !== undefined &&
    !changed.has(table) &&
    columns.every((one) => before[table]?.columns[one] && !changed.has(`${table}.${one}`))
  const trials: PlacedTrial[] = []
  for (const [i, operation] of operations.entries()) {
    const { place, trial } = definitionOf(operation)
    const changes = place(operation)
    if (changes === undefined) break
    const found = i < untried ? undefined : trial?.(operation)
    if (found?.about.every(isAsBefore)) trials.push({ ...found, operation: i })
    changed.add(changes)
  }
  return trials
}

/**
 * How many of the operations the first statement does: the server tries those by itself, before anything else has happened, and to look at a
 * large table for each would take as long. None where rows are filled in before.
 */
function firstOnly(steps: readonly (readonly CompiledStep[])[]): number {
  const [first] = steps[0] ?? []
  if (first && 'fills' in first) return 0
  const next = steps.findIndex((own, i) => i > 0 && own.length > 0)
  return next < 0 ? steps.length : next
}

/**
 * @returns the first that would fail, in words
 */
export async function tryRows<DB>(
  db: Kysely<DB>,
  trials: readonly PlacedTrial[],
): Promise<(PlacedTrial & { readonly count: number }) | undefined> {
  for (const trial of trials) {
    const count = await countOf(db, trial)
    if (count > 0) return { ...trial, count }
  }
  return undefined
}

/** What cannot be asked fails when its time comes. */
async function countOf<DB>(db: Kysely<DB>, { query }: Trial): Promise<number> {
  try {
    const { rows } = await sql.raw<{ count: number }>(query).execute(db)
    return Number(rows[0]?.count ?? 0)
  } catch {
    return 0
  }
}
