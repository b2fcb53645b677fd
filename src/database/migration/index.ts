import type { Operation } from './operations/operation.ts'

// What migrations are written with: `plinth/migration`.
export { addColumn, alterColumn, dropColumn, renameColumn } from './operations/column.ts'
export {
  addForeignKey,
  addIndex,
  addUnique,
  dropForeignKey,
  dropIndex,
  dropUnique,
} from './operations/key.ts'
export type { DataStep, MigrationDatabase, Operation } from './operations/operation.ts'
export { addFullText, type FullTextOptions, runData, runSql } from './operations/step.ts'
export { createTable, dropTable, renameTable } from './operations/table.ts'

/** A migration: the default export of a file of `migrations/`. */
export interface Migration {
  readonly operations: readonly Operation[]
  /** The findings of the lint that have been looked at and accepted. */
  readonly accept: readonly string[]
  /** Of a squash: the checksums of the migrations that it stands for, by name. */
  readonly replaces?: Readonly<Record<string, string>>
  /** What was in the database before and is not to be managed: what it is, by name. */
  readonly unmanaged?: Readonly<Record<string, string>>
}

/** What a migration says of itself. */
export interface MigrationSettings {
  /** Codes of the lint whose findings here are known to do no harm. */
  readonly accept?: readonly string[]
  /** As `manage migrate squash` writes it: the checksums of the migrations that this one stands for, by name. */
  readonly replaces?: Readonly<Record<string, string>>
  /** As `manage inspectdb --baseline` writes it: what is in the database and stays as it is, and what that is, by name. */
  readonly unmanaged?: Readonly<Record<string, string>>
}

/**
 * Defines a migration.
 *
 * @param settings `accept`: codes of the lint whose findings here are known to do no harm
 */
export function defineMigration(
  operations: readonly Operation[],
  { accept = [], replaces, unmanaged }: MigrationSettings = {},
): Migration {
  return { operations, accept, ...(replaces && { replaces }), ...(unmanaged && { unmanaged }) }
}

/**
 * A step of another migration, for a squash that does the same.
 *
 * @param number its place there, from 1
 * @throws {RangeError} where it has none
 */
export function stepOf({ operations }: Migration, number: number): Operation {
  const step = operations[number - 1]
  if (step) return step
  throw new RangeError(
    `the migration has ${operations.length} operations, and none at place ${number}`,
  )
}
