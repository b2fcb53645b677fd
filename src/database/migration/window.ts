import type { CompiledStep } from './compile.ts'
import type { Task } from './task.ts'

/** How many tables a window changes: after a crash the next run asks that many questions at most. */
const TABLES = 100

/**
 * The first of `tasks` that one entry of the journal is enough for: whatever has happened of them when the process
 * ends, the database can tell. It does so by what a table is like, so no table may be changed twice.
 *
 * @returns `[]` where that is no more than a single statement, which gets an entry of its own
 */
export function windowOf(tasks: readonly Task[]): readonly Task[] {
  const changed = new Set<string>()
  const end = tasks.findIndex((task) => !joins(task, changed))
  const window = end < 0 ? tasks : tasks.slice(0, end)
  const statements = window.reduce((count, { steps }) => count + steps.length, 0)
  return statements > 1 ? window : []
}

/** Whether a task changes only tables that are not in `changed`; they are from then on. */
function joins({ direction, steps }: Task, changed: Set<string>): boolean {
  if (direction === 'down' || steps.length === 0) return false
  return steps.every((step) => changes(step, changed)) && changed.size <= TABLES
}

function changes(step: CompiledStep, changed: Set<string>): boolean {
  if (!('sql' in step && step.happened && step.tables)) return false
  const before = changed.size
  // Some servers take City and city for one table.
  for (const name of step.tables) changed.add(name.toLowerCase())
  return changed.size === before + step.tables.length
}
