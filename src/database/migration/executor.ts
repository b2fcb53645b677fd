import { errors, type PlinthError } from '../../errors.ts'
import type { Chosen, MigrationRecord } from './files.ts'
import type { Settlement } from './journal.ts'
import type { LockKind } from './lock.ts'
import { describeStep, type OnMigration, type Task } from './task.ts'

// What both executors have in common: `sqlite-executor.ts` runs each task in one transaction, `mysql-executor.ts` statement by statement,
// with a journal.

export interface RunOptions {
  /** How long to wait for another process that migrates the same database, in seconds; default 60. */
  lockTimeout?: number
  /** MySQL: default a named lock of the server, a lease where it has none. All processes have to use the same. */
  lock?: LockKind | undefined
  /** What to do with a statement of which nobody knows whether it happened: run it again, or count it as done. */
  settlement?: Settlement | undefined
  on?: OnMigration
}

/** What a run is to do. */
export interface Work extends RunOptions {
  readonly lockTimeout: number
  readonly on: OnMigration
  direction: Task['direction']
  /** What is to be done, by what is recorded and how many tasks of it this run has done. */
  choose: (records: readonly MigrationRecord[], done: number) => Chosen
  compile: Compile
  /** Record what is to be done, and run nothing. */
  fake?: boolean
}

/** Makes tasks of what is chosen. */
export type Compile = Record<
  Task['direction'],
  (chosen: Chosen, interrupted?: string) => Promise<Task[]>
>

/**
 * The error of a migration that failed in its step `position` (from 0).
 *
 * @param stays whether the steps before it stay
 */
export function failureOf(
  { name, direction, steps }: Task,
  position: number,
  stays: boolean,
  cause: unknown,
): PlinthError {
  const problem = cause instanceof Error ? cause.message : String(cause)
  const step = steps[position]
  const place = step ? `in step ${position + 1} of ${steps.length}` : 'at its end'
  return errors.MIGRATION_FAILED.with(
    { cause },
    direction === 'up' ? name : `${name} (down)`,
    `${place}, ${problem}${step ? ` (${shorten(describeStep(step))})` : ''}`,
    stays && position > 0
      ? `What came before that stays, because this database commits each statement at once; mend the rest of the migration and run this again: it goes on where it stopped. Or ${BACK[direction]}`
      : 'Nothing of it stays; mend it and run this again',
  )
}

const BACK = {
  up: 'run manage migrate rollback, which takes it back',
  down: 'run manage migrate, which applies it again',
} as const

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}
