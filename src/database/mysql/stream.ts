import type { Duplex, Readable } from 'node:stream'
import type { PoolConnection } from 'mysql2'
import type { Row } from '../types.ts'
import { type Conversions, conversionsOf, convertRow, type Field } from './columns.ts'
import { lost, silent } from './failure.ts'

// As many as are read while the reader is busy; with Node.js's 16 streaming takes half as long again.
const ROWS_AHEAD = 100

/**
 * The rows of a query one after the other, with our types.
 *
 * @param patience milliseconds that the server may let us wait for a row; 0: as long as it wants
 */
export async function* streamRows(
  connection: PoolConnection,
  sql: string,
  values: unknown[],
  patience: number,
): AsyncGenerator<Row, 'all'> {
  let conversions: Conversions = []
  const query = connection.query({ sql, values })
  query.once('fields', (fields: Field[]) => {
    conversions = conversionsOf(fields)
  })
  const rows = query.stream({ highWaterMark: ROWS_AHEAD })
  const stopWatching = watch(connection, rows)
  try {
    for await (const row of impatient(rows, patience)) yield convertRow(row, conversions)
    return 'all'
  } finally {
    stopWatching()
  }
}

// The time that our reader takes for a row is his.
async function* impatient(rows: Readable, patience: number): AsyncGenerator<Row> {
  const start = () => (patience ? setTimeout(() => rows.destroy(silent()), patience) : undefined)
  let timer = start()
  try {
    for await (const row of rows) {
      clearTimeout(timer)
      yield row
      timer = start()
    }
  } finally {
    clearTimeout(timer)
  }
}

// mysql2 does not tell a query without a callback that its connection is lost.
function watch(connection: PoolConnection, rows: Readable): () => void {
  const { stream: socket } = connection as PoolConnection & { stream: Duplex }
  const fail = (error: Error) => rows.destroy(error)
  const closed = () => rows.destroy(lost())
  connection.once('error', fail)
  socket.once('close', closed)
  return () => {
    connection.off('error', fail)
    socket.off('close', closed)
  }
}
