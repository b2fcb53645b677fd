import { errors, type PlinthError } from '../../errors.ts'

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

/** Whether it is that of mysql2's own timer. */
export const isSilence = ({ code }: MysqlError): boolean => code === SILENCE

/** For a stream, where mysql2 says neither: the server is silent, the connection is lost. */
export const silent = (): MysqlError => Object.assign(new Error('No row came'), { code: SILENCE })
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
