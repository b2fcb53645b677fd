import type { SchemaState } from '../../schema/state.ts'
import { columnOperations } from './column.ts'
import { keyOperations } from './key.ts'
import type { Definition, Definitions, Operation } from './operation.ts'
import { stepOperations } from './step.ts'
import { tableOperations } from './table.ts'

export { addColumn, alterColumn, dropColumn, renameColumn } from './column.ts'
export { addFullText, type FullTextOptions } from './full-text.ts'
export {
  addForeignKey,
  addIndex,
  addUnique,
  dropForeignKey,
  dropIndex,
  dropUnique,
} from './key.ts'
export type {
  CompiledStep,
  DataStep,
  Fill,
  MigrationDatabase,
  Operation,
  SchemaOperation,
} from './operation.ts'
export { runData, runSql } from './step.ts'
export { createTable, dropTable, renameTable } from './table.ts'

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

/** All operations that there are. */
const DEFINITIONS: Definitions<Operation['type']> = {
  ...tableOperations,
  ...columnOperations,
  ...keyOperations,
  ...stepOperations,
}

/** All that the kit does with an operation. */
export function definitionOf(operation: Operation): Definition<Operation> {
  return DEFINITIONS[operation.type] as unknown as Definition<Operation>
}

/**
 * What becomes of a schema by an operation.
 *
 * @throws {Error} where the operation does not fit: it names what is not there, is there already, or is not what it was written for,
 *   as where another branch has changed it, too
 */
export function replay(schema: SchemaState, operation: Operation): SchemaState {
  return definitionOf(operation).replay(schema, operation, replayAll)
}

/** The state that all of `operations` lead to, from an empty database or from `before`. */
export function replayAll(operations: readonly Operation[], before: SchemaState = {}): SchemaState {
  return operations.reduce(replay, before)
}

/** The operation that takes `operation` back; `undefined` where it cannot be. */
export function reverse(operation: Operation): Operation | undefined {
  return definitionOf(operation).reverse(operation, reverseAll)
}

/** The operations that take all of `operations` back, in their order; `undefined` where one cannot be. */
export function reverseAll(operations: readonly Operation[]): Operation[] | undefined {
  const back = operations.toReversed().map(reverse)
  return back.every((one) => one !== undefined) ? back : undefined
}

/** An operation in one line: `+ column city.kind varchar(8)`. */
export function describe(operation: Operation): string {
  return definitionOf(operation).describe(operation)
}
