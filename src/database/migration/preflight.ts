import { type Kysely, sql } from 'kysely'
import type { SchemaState } from '../schema/state.ts'
import { definitionOf, type Operation } from './operations/index.ts'
import type { Trial } from './operations/operation.ts'

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
 */
export function trialsOf(operations: readonly Operation[], before: SchemaState): PlacedTrial[] {
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
    // The first fails before anything else has happened.
    const found = i === 0 ? undefined : trial?.(operation)
    if (found?.about.every(isAsBefore)) trials.push({ ...found, operation: i })
    changed.add(changes)
  }
  return trials
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
