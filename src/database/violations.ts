import { type ErrorDetail, errors, PlinthError } from '../errors.ts'

/** Why a database did not take what a statement said. */
export interface Violation {
  /**
   * `unique`: such a key is there already. `missing`: it refers to a row that is not there. `referred`: another row refers
   * to it. `value`: a value that its column does not take.
   */
  kind: 'unique' | 'missing' | 'referred' | 'value'
  /** What is wrong with a value, to stand behind its name. */
  problem?: string
  /** The column, where the database names it. */
  column?: string
  /** Which of the statement's rows, from 1, where the database says so. */
  row?: number
}

const TAKES_NOT = 'is no value that the column takes'

// By MySQL's number; what else may stand behind it follows from the message.
const MYSQL: ReadonlyMap<unknown, Pick<Violation, 'kind' | 'problem'>> = new Map([
  // ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME
  [1062, { kind: 'unique' }],
  [1586, { kind: 'unique' }],
  // ER_NO_REFERENCED_ROW, ER_ROW_IS_REFERENCED, and both with the name of the key
  [1216, { kind: 'missing' }],
  [1452, { kind: 'missing' }],
  [1217, { kind: 'referred' }],
  [1451, { kind: 'referred' }],
  // ER_WARN_DATA_OUT_OF_RANGE, ER_DATA_TOO_LONG
  [1264, { kind: 'value', problem: 'is out of the range of the column' }],
  [1406, { kind: 'value', problem: 'is too long for the column' }],
  // WARN_DATA_TRUNCATED, ER_TRUNCATED_WRONG_VALUE, ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, ER_CANT_CREATE_GEOMETRY_OBJECT,
  // ER_INVALID_JSON_TEXT
  [1265, { kind: 'value', problem: TAKES_NOT }],
  [1292, { kind: 'value', problem: TAKES_NOT }],
  [1366, { kind: 'value', problem: TAKES_NOT }],
  [1416, { kind: 'value', problem: TAKES_NOT }],
  [3140, { kind: 'value', problem: TAKES_NOT }],
  // ER_CONSTRAINT_FAILED of MariaDB, ER_CHECK_CONSTRAINT_VIOLATED of MySQL
  [4025, { kind: 'value', problem: TAKES_NOT }],
  [3819, { kind: 'value', problem: TAKES_NOT }],
  // ER_CANNOT_CONVERT_STRING, ER_IMPOSSIBLE_STRING_CONVERSION
  [3854, { kind: 'value', problem: 'has characters that the column does not have' }],
  [3988, { kind: 'value', problem: 'has characters that the column does not have' }],
])

// SQLITE_CONSTRAINT_ and what is in the comment. A deferred key, as `no action` is, has the same number both ways.
const SQLITE: ReadonlyMap<unknown, Pick<Violation, 'kind' | 'problem'>> = new Map([
  // UNIQUE, PRIMARYKEY, ROWID
  [2067, { kind: 'unique' }],
  [1555, { kind: 'unique' }],
  [2579, { kind: 'unique' }],
  // FOREIGNKEY, TRIGGER (on delete restrict)
  [787, { kind: 'missing' }],
  [1811, { kind: 'referred' }],
  // CHECK, DATATYPE (of a strict table); SQLITE_MISMATCH, SQLITE_TOOBIG
  [275, { kind: 'value', problem: TAKES_NOT }],
  [3091, { kind: 'value', problem: TAKES_NOT }],
  [20, { kind: 'value', problem: TAKES_NOT }],
  [18, { kind: 'value', problem: 'is too long for the column' }],
])

// ER_CANT_AGGREGATE_2COLLATIONS, …3COLLATIONS and …NCOLLATIONS: a text is compared with a column of another character
// set, which does not have all of its characters. The same of two columns is a mistake of the statement.
const MIXED = new Set<unknown>([1267, 1270, 1271])

/** The number that MySQL gives an error; `undefined` where it is no error of a query. */
export function mysqlCode(error: unknown): unknown {
  return error instanceof Error ? (error as { errno?: unknown }).errno : undefined
}

/** What a statement has failed on, where it was for what it said; on SQLite as on MySQL. */
export function violationOf(error: unknown): Violation | undefined {
  if (!(error instanceof Error)) return undefined
  const { errcode } = error as { errcode?: unknown }
  const code = mysqlCode(error)
  if (MIXED.has(code) && (code === 1271 || error.message.includes('COERCIBLE')))
    return { kind: 'value', problem: 'has characters that the column does not have' }
  const known = errcode === undefined ? MYSQL.get(code) : SQLITE.get(errcode)
  return known && { ...known, ...(known.kind === 'value' && placeOf(error.message)) }
}

// `Data too long for column 'name' at row 1`, `Incorrect integer value: 'x' for column `shop`.`city`.`size` at row 2`
const PLACE = /.* column (?:`.*`\.)?['`]([^'`]+)['`] at row (\d+)$/s
// `cannot store TEXT value in INTEGER column city.size`
const STRICT = / column [^.]+\.(.+)$/

function placeOf(message: string): Pick<Violation, 'column' | 'row'> {
  const [, column = STRICT.exec(message)?.[1], row] = PLACE.exec(message) ?? []
  return { ...(column !== undefined && { column }), ...(row !== undefined && { row: Number(row) }) }
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

// ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, and ER_CHECKREAD of MariaDB: the row has changed since the transaction read it
const MYSQL_CONFLICTS = new Set<unknown>([1213, 1205, 1020])
const SQLITE_BUSY = 5

/**
 * Whether a transaction failed because of what others do at the same time, and may succeed when it is run again: a deadlock or a lock that
 * was not free in time on MySQL, on SQLite what another process has written since the transaction began to read. What the error was
 * caused by counts, too.
 */
export function isTransactionConflict(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Whoever got no turn in all the time that one waits for it has waited long enough.
  if (PlinthError.is(error) && error.code === errors.DATABASE_BUSY.code) return false
  const { errcode } = error as { errcode?: unknown }
  const isBusy = typeof errcode === 'number' && (errcode & 0xff) === SQLITE_BUSY
  return isBusy || MYSQL_CONFLICTS.has(mysqlCode(error)) || isTransactionConflict(error.cause)
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
