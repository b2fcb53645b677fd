import { errors } from '../../errors.ts'
import type { DialectName, SchemaState } from '../schema/state.ts'
import type { Chosen } from './choose.ts'
import { type CompiledStep, compileAll } from './compile.ts'
import { type LoadedMigration, loadMigrations, schemaAfter } from './load.ts'
import { reverseAll } from './reverse.ts'

export type Direction = 'up' | 'down'

/** A migration that is to be applied or taken back, for one database. */
export interface Task {
  name: string
  checksum: string
  direction: Direction
  steps: readonly CompiledStep[]
}

/**
 * What it takes to apply migrations, one after the other.
 *
 * @throws {PlinthError} MIGRATION_INVALID where one does not fit what those before it have made
 */
export async function tasksUp(chosen: Chosen, dialect: DialectName): Promise<Task[]> {
  const { applied, todo } = await load(chosen)
  let before = schemaAfter(applied)
  return todo.map((migration) => {
    const { task, after } = taskOf(migration, 'up', migration.operations, before, dialect)
    before = after
    return task
  })
}

/**
 * What it takes to take migrations back, one after the other.
 *
 * @throws {PlinthError} MIGRATION_INVALID where one cannot be taken back
 */
export async function tasksDown(chosen: Chosen, dialect: DialectName): Promise<Task[]> {
  const { applied, todo } = await load(chosen)
  return todo.map((migration, i) => {
    const back = reverseAll(migration.operations)
    if (!back)
      throw errors.MIGRATION_INVALID(migration.path, 'it has a step without a way back (down)')
    const before = schemaAfter(applied.slice(0, applied.length - i))
    return taskOf(migration, 'down', back, before, dialect).task
  })
}

/** Where there is nothing to do, nothing is loaded: most processes that start find it so. */
async function load({ applied, todo }: Chosen) {
  if (todo.length === 0) return { applied: [], todo: [] }
  return { applied: await loadMigrations(applied), todo: await loadMigrations(todo) }
}

function taskOf(
  { name, path, checksum }: LoadedMigration,
  direction: Direction,
  operations: LoadedMigration['operations'],
  before: SchemaState,
  dialect: DialectName,
): { task: Task; after: SchemaState } {
  try {
    const { steps, after } = compileAll(operations, before, dialect)
    return { task: { name, checksum, direction, steps }, after }
  } catch (cause) {
    throw errors.MIGRATION_INVALID.with({ cause }, path, (cause as Error).message)
  }
}

/** A step as people read it. */
export function describeStep(step: CompiledStep): string {
  if ('sql' in step) return step.sql
  if ('rebuild' in step) return step.statements.join(';\n')
  return `-- code: ${step.data.name || 'a function'} changes rows`
}
