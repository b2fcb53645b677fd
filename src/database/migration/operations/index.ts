import type { ForeignKeyState, SchemaState } from '../../schema/state.ts'
import type { DialectName } from '../../schema/types.ts'
import { type ColumnOperation, columnOperations, isOfColumn, together } from './column.ts'
import { keyOperations } from './key.ts'
import type { CompiledStep, Definition, Definitions, Operation } from './operation.ts'
import { stepOperations } from './step.ts'
import { tableOperations } from './table.ts'

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

// ---- what a database has to do

/**
 * What a database has to do for operations, one after the other.
 *
 * A column that may not be null and has no default can be added to a table without rows only; both databases refuse it otherwise, and
 * nothing of it stays.
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
 * The same for each operation by itself, and the state of the schema that they lead to. Where several on columns of one table stand in a
 * row, the first does what all of them do: a table that is written anew is so once.
 *
 * @throws {Error} as `compileOperations`
 */
export function compileAll(
  operations: readonly Operation[],
  before: SchemaState,
  dialect: DialectName,
): { steps: CompiledStep[][]; after: SchemaState } {
  const states = [before]
  const steps = operations.map((operation, index) => {
    const state = states[index] as SchemaState
    const definition = definitionOf(operation)
    try {
      const after = replay(state, operation)
      states.push(after)
      definition.refuse?.(operation, state)
      return definition[dialect](operation, state, after)
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`operation ${index + 1} (${operation.type}): ${problem}`, { cause })
    }
  })
  if (dialect === 'sqlite') refuseCascades(operations, steps, states)
  for (const [first, end] of runsOf(operations)) {
    // Of SQLite, what `alter table` does is done in no time.
    const rebuilds = steps
      .slice(first, end)
      .flat()
      .filter((step) => 'rebuild' in step)
    if (dialect === 'sqlite' && rebuilds.length < 2) continue
    const run = operations.slice(first, end) as ColumnOperation[]
    const [from, to] = [states[first] as SchemaState, states[end] as SchemaState]
    const joined = together[dialect](run, from, to)
    steps.splice(first, run.length, joined, ...run.slice(1).map(() => []))
  }
  return { steps, after: states.at(-1) as SchemaState }
}

/**
 * In a migration that rebuilds a table of SQLite foreign keys are off, and cannot be turned on: rows that code deletes would leave those that
 * refer to them, which MySQL deletes.
 */
function refuseCascades(
  operations: readonly Operation[],
  steps: readonly (readonly CompiledStep[])[],
  states: readonly SchemaState[],
): void {
  const code = operations.findIndex(({ type }) => type === 'runData')
  if (code < 0 || !steps.flat().some((step) => 'rebuild' in step)) return
  const acting = Object.entries(states[code] ?? {}).flatMap(([, { foreignKeys = [] }]) =>
    foreignKeys.filter((key) => acts(key.onDelete) || acts(key.onUpdate)),
  )
  if (acting.length === 0) return
  throw new Error(
    `operation ${code + 1} (runData): SQLite has to rebuild a table in the same migration, and what ${acting.map(({ name }) => name).join(', ')} would do to rows is left undone meanwhile; put the code into a migration of its own`,
  )
}

const acts = (action: ForeignKeyState['onDelete']) => action === 'cascade' || action === 'set null'

/**
 * Where operations on columns of one table stand in a row: from the first to behind the last. Backwards they are the same rows, which
 * whoever turns round within a migration relies on; so one with a column twice is none.
 */
function runsOf(operations: readonly Operation[]): (readonly [first: number, end: number])[] {
  const tableOf = (one: Operation | undefined) => (isOfColumn(one) ? one.table : undefined)
  const runs: [number, number][] = []
  for (let first = 0, end = 1; first < operations.length; first = end++) {
    const table = tableOf(operations[first])
    while (table !== undefined && tableOf(operations[end]) === table) end++
    const columns = (operations.slice(first, end) as ColumnOperation[]).map((one) => one.column)
    if (columns.length > 1 && new Set(columns).size === columns.length) runs.push([first, end])
  }
  return runs
}
