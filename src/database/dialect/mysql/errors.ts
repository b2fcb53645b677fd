import { errors, type PlinthError } from '../../../errors.ts'
import { TAKES_NOT, TOO_LONG, type Violation, type Violations } from '../errors.ts'

/** What mysql2 tells of an error. */
export interface MysqlError extends Error {
  code?: string | undefined
  errno?: number | undefined
  fatal?: boolean | undefined
}

// ER_STATEMENT_TIMEOUT of MariaDB, ER_QUERY_TIMEOUT of MySQL
const STATEMENT_TIMEOUT = new Set<unknown>([1969, 3024])

// The server is ending, has ended our session, or has become a read-only replica (a failover): the
// connection is of no more use. ER_SERVER_SHUTDOWN, ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT,
// ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE
const USELESS = new Set<unknown>([1053, 1927, 4031, 1290, 1836])

// The code of mysql2 when its own timer of a query has run out
const SILENCE = 'PROTOCOL_SEQUENCE_TIMEOUT'

/** Whether nothing has come in time. */
export const isSilence = ({ code }: MysqlError): boolean => code === SILENCE

/** What mysql2 does not tell by itself: the server is silent, the connection of a stream is lost. */
export const silent = (): MysqlError => Object.assign(new Error('Nothing came'), { code: SILENCE })
export const lost = (): MysqlError => Object.assign(new Error('Connection lost'), { fatal: true })

/** Whether the connection cannot be used after this error. */
export function endsConnection(error: MysqlError): boolean {
  return error.fatal === true || isSilence(error) || USELESS.has(error.errno)
}

/** The error of a query as its caller sees it: an error in SQL stays what it is. */
export function ofQuery(error: MysqlError, queryTimeout: number): Error {
  if (STATEMENT_TIMEOUT.has(error.errno)) {
    return errors.DEADLINE_EXCEEDED.with({ cause: error }, queryTimeout)
  }
  if (!endsConnection(error)) return error
  const problem = isSilence(error) ? 'it does not answer' : 'the connection was lost'
  return errors.DATABASE_UNAVAILABLE.with({ cause: error }, problem)
}

/** The error of getting a connection as its caller sees it. */
export function ofConnecting(error: MysqlError): PlinthError {
  if (error.message === 'Queue limit reached.')
    return errors.DATABASE_BUSY.with({ cause: error }, 0)
  return errors.DATABASE_UNAVAILABLE.with({ cause: error }, 'no connection can be made')
}

/** The error of a start without a database, for whoever runs the service. */
export function ofStart(error: MysqlError, host: string, port: number): PlinthError {
  // Where a name has several addresses, the error of trying them all has a code but no message.
  const reason = error.message || error.code
  return errors.DATABASE_UNAVAILABLE.with({ cause: error }, `MySQL at ${host}:${port}: ${reason}`)
}

/** The number that MySQL gives an error; `undefined` where it is no error of a query. */
export function mysqlCode(error: unknown): unknown {
  return error instanceof Error ? (error as MysqlError).errno : undefined
}

const STRANGE = 'has characters that the column does not have'

// What else may stand behind a number follows from the message.
const VIOLATIONS: Violations = new Map([
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
  [1406, { kind: 'value', problem: TOO_LONG }],
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
  [3854, { kind: 'value', problem: STRANGE }],
  [3988, { kind: 'value', problem: STRANGE }],
])

// ER_CANT_AGGREGATE_2COLLATIONS, …3COLLATIONS and …NCOLLATIONS: a text is compared with a column of another character
// set, which does not have all of its characters. The same of two columns is a mistake of the statement.
const MIXED = new Set<unknown>([1267, 1270, 1271])

// `Data too long for column 'name' at row 1`, `Incorrect integer value: 'x' for column `shop`.`city`.`size` at row 2`
const PLACE = /.* column (?:`.*`\.)?['`]([^'`]+)['`] at row (\d+)$/s

/** What a statement has failed on, where it was for what it said. */
export function violationOf(error: Error): Violation | undefined {
  const code = mysqlCode(error)
  if (MIXED.has(code) && (code === 1271 || error.message.includes('COERCIBLE')))
    return { kind: 'value', problem: STRANGE }
  const known = VIOLATIONS.get(code)
  const [, column, row] = (known?.kind === 'value' && PLACE.exec(error.message)) || []
  return known && { ...known, ...(column !== undefined && { column, row: Number(row) }) }
}

// ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT; ER_CHECKREAD of MariaDB: the row has changed since the transaction read it;
// ER_TABLE_DEF_CHANGED: so has the table
const CONFLICTS = new Set<unknown>([1213, 1205, 1020, 1412])

/** Whether what others did at the same time was in the way. */
export const isConflict = (error: Error): boolean => CONFLICTS.has(mysqlCode(error))
