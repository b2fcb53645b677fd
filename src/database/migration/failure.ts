import { errors, type PlinthError } from '../../errors.ts'
import { describeStep, type Task } from './task.ts'

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
