import { type ErrorDetail, errors, PlinthError } from '../errors.ts'
import type { Violation } from './dialect/errors.ts'
import * as mysql from './dialect/mysql/errors.ts'
import * as sqlite from './dialect/sqlite/errors.ts'

/** What a statement has failed on, where it was for what it said; on SQLite as on MySQL. */
export function violationOf(error: unknown): Violation | undefined {
  return error instanceof Error
    ? (mysql.violationOf(error) ?? sqlite.violationOf(error))
    : undefined
}

/**
 * Whether a statement failed because a row with the same primary key or unique key is there already,
 * on SQLite as on MySQL.
 */
export function isUniqueViolation(error: unknown): boolean {
  return violationOf(error)?.kind === 'unique'
}

/**
 * Whether a statement failed because a row refers to one that is not there, or because another refers to it,
 * on SQLite as on MySQL.
 */
export function isForeignKeyViolation(error: unknown): boolean {
  const kind = violationOf(error)?.kind
  return kind === 'missing' || kind === 'referred'
}

/**
 * Whether a transaction failed because of what others do at the same time, and may succeed when it is run again: a deadlock, a lock
 * that was not free in time or a table that was made since it began to read on MySQL, on SQLite what another process has written since
 * then. What the error was caused by counts, too.
 */
export function isTransactionConflict(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Whoever got no turn in all the time that one waits for it has waited long enough.
  if (PlinthError.is(error) && error.code === errors.DATABASE_BUSY.code) return false
  return mysql.isConflict(error) || sqlite.isConflict(error) || isTransactionConflict(error.cause)
}

/**
 * What a client is told of a statement that a service has written itself, and that the database has refused for what it
 * said; undefined where it failed for another reason.
 *
 * @param resource that was called
 */
export function explainStatement(error: unknown, resource: string): PlinthError | undefined {
  const { kind, column, problem } = violationOf(error) ?? {}
  switch (kind) {
    case undefined:
      return undefined
    case 'unique':
      return errors.CONFLICT.with({ cause: error }, 'There is one with the same key already')
    case 'referred':
      return errors.CONFLICT.with(
        { cause: error },
        'It is still referred to; change or delete what refers to it first',
      )
    case 'missing':
      return invalid(error, resource, { path: '', message: 'refers to what is not there' })
    case 'value': {
      const place = column === undefined ? 'a value' : `the value for ${column}`
      return invalid(error, resource, { path: '', message: `${place} ${problem}` })
    }
  }
}

/** What it was asked for cannot be, whatever the database would have said. */
export function invalid(cause: unknown, resource: string, detail: ErrorDetail): PlinthError {
  return errors.INVALID_REQUEST.with({ cause, errors: [detail] }, resource)
}
