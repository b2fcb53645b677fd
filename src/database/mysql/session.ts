import type { Connection, Pool } from 'mysql2'

const MODE =
  'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'

/**
 * The statement that makes a session ours whatever the server's settings are. The comments are no comments:
 * the first is read by MariaDB, in seconds, the second by MySQL, in milliseconds and for SELECT only.
 */
export function sessionSql(queryTimeout: number): string {
  const mariadb = `/*M! , max_statement_time = ${queryTimeout / 1000} */`
  const mysql = `/*!50708 , max_execution_time = ${queryTimeout} */`
  return `set names utf8mb4, time_zone = '+00:00', sql_mode = '${MODE}' ${mariadb} ${mysql}`
}

/**
 * Prepares every connection of a pool. The statement is the first in each new connection's queue, so nobody's query
 * runs before it; where it fails, the connection is destroyed together with what waits in that queue.
 */
export async function prepareSessions(pool: Pool, sql: string): Promise<void> {
  pool.on('connection', (connection: Connection) => {
    connection.query(sql, (error) => {
      if (error) connection.destroy()
    })
  })
  await prepareFirst(pool, sql)
}

// @fastify/mysql has made one already, to try whether it can.
function prepareFirst(pool: Pool, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    pool.getConnection((error, connection) => {
      if (error) return reject(error)
      connection.query(sql, (error) => {
        if (error) {
          connection.destroy()
          return reject(error)
        }
        connection.release()
        resolve()
      })
    })
  })
}
