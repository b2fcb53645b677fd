import { errors } from '../../errors.ts'
import type { SchemaState } from '../schema/state.ts'
import type { DialectName } from '../schema/types.ts'
import { type Chosen, type MigrationFile, type Recordable, recordsOf } from './files.ts'
import { type LoadedMigration, loadMigrations, schemaAfter } from './loader.ts'
import { compileAll, reverse, reverseAll } from './operations/index.ts'
import type { CompiledStep, Operation } from './operations/operation.ts'
import { type PlacedTrial, trialsOf } from './preflight.ts'

export type Direction = 'up' | 'down'

type ToLoad = Pick<Chosen, 'applied' | 'todo'>

/** A migration that is to be applied or taken back, for one database. */
export interface Task {
  name: string
  checksum: string
  /** What is recorded once it is applied, where that is not itself. */
  records?: readonly Recordable[]
  /** Whether it is the first migrations in one step. */
  isStart?: true
  direction: Direction
  steps: readonly CompiledStep[]
  /** Of MySQL: what is tried on the rows before anything of it happens. */
  trials?: readonly PlacedTrial[]
  /** For each of its operations how many steps there are up to and with it. */
  ends: readonly number[]
}

/**
 * What it takes to apply migrations, one after the other.
 *
 * @throws {PlinthError} MIGRATION_INVALID where one does not fit what those before it have made
 */
export async function tasksUp(chosen: ToLoad, dialect: DialectName): Promise<Task[]> {
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
 * @param interrupted the one of which only a part has happened, perhaps: its operations without a way back are steps
 * @throws {PlinthError} MIGRATION_INVALID where one cannot be taken back
 */
export async function tasksDown(
  chosen: ToLoad,
  dialect: DialectName,
  interrupted?: string,
): Promise<Task[]> {
  const { applied, todo } = await load(chosen)
  return todo.map((migration, i) => {
    const before = schemaAfter(applied.slice(0, applied.length - i))
    const back = reverseAll(migration.operations)
    if (back) return taskOf(migration, 'down', back, before, dialect).task
    if (migration.name !== interrupted)
      throw errors.MIGRATION_INVALID(migration.path, 'it has a step without a way back (down)')
    return partDown(migration, before, dialect)
  })
}

function partDown(migration: LoadedMigration, before: SchemaState, dialect: DialectName): Task {
  const back = migration.operations.toReversed().map((one) => reverse(one) ?? withoutWay(one))
  const { task } = taskOf(migration, 'down', back, before, dialect)
  const steps = back.map((_, i) => {
    const noWayBack = back.length - i
    const hasWay = reverse(migration.operations[noWayBack - 1] as Operation)
    return hasWay ? task.steps.slice(task.ends[i - 1] ?? 0, task.ends[i]) : [{ noWayBack }]
  })
  return { ...task, ...joined(steps) }
}

/** What it has done to the schema is undone; what is to be done for that nobody says. */
function withoutWay(operation: Operation): Operation {
  const state = operation.type === 'runSql' ? reverseAll(operation.state ?? []) : undefined
  return { type: 'runSql', up: [], state: state ?? [] }
}

/** Where there is nothing to do, nothing is loaded: most processes that start find it so. */
async function load({ applied, todo }: ToLoad) {
  if (todo.length === 0) return { applied: [], todo: [] }
  return { applied: await loadMigrations(applied), todo: await loadMigrations(todo) }
}

function taskOf(
  migration: LoadedMigration,
  direction: Direction,
  operations: LoadedMigration['operations'],
  before: SchemaState,
  dialect: DialectName,
): { task: Task; after: SchemaState } {
  const { path } = migration
  try {
    const { steps, after } = compileAll(operations, before, dialect)
    const trials = dialect === 'mysql' ? trialsOf(operations, before, steps) : []
    return { task: { ...unseen(migration, direction), ...joined(steps), trials }, after }
  } catch (cause) {
    throw errors.MIGRATION_INVALID.with({ cause }, path, (cause as Error).message)
  }
}

function joined(steps: readonly (readonly CompiledStep[])[]): Pick<Task, 'steps' | 'ends'> {
  let end = 0
  return { steps: steps.flat(), ends: steps.map(({ length }) => (end += length)) }
}

/** A task that is recorded only. */
export function unseen(
  file: Pick<MigrationFile, 'name' | 'checksum' | 'replaces' | 'isComplete' | 'start'>,
  direction: Direction,
): Task {
  const { name, checksum } = file
  const records = recordsOf(file)
  const others = direction === 'up' && records[0] !== file
  return {
    name,
    checksum,
    ...(others && { records }),
    ...(file.start && { isStart: true }),
    direction,
    steps: [],
    ends: [],
  }
}

/** A step as people read it. */
export function describeStep(step: CompiledStep): string {
  if ('sql' in step) return step.sql
  if ('rebuild' in step) return step.statements.join(';\n')
  if ('noWayBack' in step) return `-- operation ${step.noWayBack} has no way back`
  return `-- code: ${step.data.name || 'a function'} changes rows`
}

/** A migration that was applied or taken back. */
export interface MigrationResult {
  name: string
  direction: Direction
  duration_ms: number
}

/** What happens while migrations run. */
export type MigrationEvent =
  /** It is applied, and its file has got another number since. */
  | { type: 'renumbered'; name: string; from: string }
  | { type: 'start'; name: string; direction: Direction }
  /** It was interrupted: `position` of its steps have happened. */
  | { type: 'resume'; name: string; direction: Direction; position: number }
  | ({ type: 'done' } & MigrationResult)
  /** Another process migrates this database; `holder` is `null` where it has not said who it is. */
  | { type: 'wait'; holder: string | null; since: string | null }

export type OnMigration = (event: MigrationEvent) => void
