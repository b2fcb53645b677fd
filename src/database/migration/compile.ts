import type { DialectName, SchemaState } from '../schema/state.ts'
import { refuseMisfit } from './compile/misfit.ts'
import { compileMysql } from './compile/mysql.ts'
import { compileSqlite } from './compile/sqlite.ts'
import type { CompiledStep } from './compile/steps.ts'
import type { Operation, SqlStatements } from './operations.ts'
import { replay } from './replay.ts'

export { keeping } from './compile/kept.ts'
export { runRebuild } from './compile/run-rebuild.ts'
export type { CompiledStep, Statement } from './compile/steps.ts'

/**
 * What a database has to do for an operation.
 *
 * A column that may not be null and has no default can be added to a table without rows only; both databases
 * refuse it otherwise, and nothing of it stays.
 *
 * @param before the state of the schema that it is done to
 * @throws {Error} where the operation does not fit that state
 */
export function compileOperation(
  operation: Operation,
  before: SchemaState,
  dialect: DialectName,
): CompiledStep[] {
  return stepsOf(operation, before, replay(before, operation), dialect)
}

function stepsOf(
  operation: Operation,
  before: SchemaState,
  after: SchemaState,
  dialect: DialectName,
): CompiledStep[] {
  if (operation.type === 'runData') return [{ data: operation.up }]
  if (operation.type === 'runSql') return statementsOf(operation.up, dialect)
  refuseMisfit(operation, before)
  return dialect === 'mysql'
    ? compileMysql(operation, before)
    : compileSqlite(operation, before, after)
}

/**
 * What a database has to do for operations, one after the other.
 *
 * @param before the state of the schema that the first is done to
 * @throws {Error} where an operation does not fit: which one and why
 */
export function compileOperations(
  operations: readonly Operation[],
  before: SchemaState,
  dialect: DialectName,
): CompiledStep[] {
  return compileAll(operations, before, dialect).steps.flat()
}

/**
 * The same for each operation by itself, and the state of the schema that they lead to.
 *
 * @throws {Error} as `compileOperations`
 */
export function compileAll(
  operations: readonly Operation[],
  before: SchemaState,
  dialect: DialectName,
): { steps: CompiledStep[][]; after: SchemaState } {
  let after = before
  const steps = operations.map((operation, index) => {
    try {
      const state = after
      after = replay(state, operation)
      return stepsOf(operation, state, after, dialect)
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`operation ${index + 1} (${operation.type}): ${problem}`, { cause })
    }
  })
  return { steps, after }
}

function statementsOf(step: SqlStatements, dialect: DialectName): CompiledStep[] {
  if (typeof step === 'string') return [{ sql: step }]
  const all = 'mysql' in step ? step[dialect] : step
  return all.map((sql) => ({ sql }))
}
