import t from 'tap'
import type { DatabaseDriver } from '../helpers/drivers.ts'
import { databaseClosing, databaseUnused } from './database-closing.ts'
import {
  databaseChangedTables,
  databaseConstraints,
  databaseResults,
  databaseSlowReader,
  databaseStreaming,
  databaseWrongStatements,
} from './database-statements.ts'
import {
  databaseConcurrentWrites,
  databaseIsolation,
  databaseSavepoints,
  databaseTransactions,
} from './database-transactions.ts'
import {
  databaseExpressions,
  databaseObjectsAsValues,
  databaseRefusedValues,
  databaseTimeZone,
  databaseTypes,
} from './database-types.ts'

const BEHAVIOURS = {
  'gives every type back as the same JavaScript value': databaseTypes,
  'refuses parameters that have no place in a column': databaseRefusedValues,
  'takes objects as values, never as SQL': databaseObjectsAsValues,
  'gives expressions the same types': databaseExpressions,
  'keeps instants whatever the time zone of the process': databaseTimeZone,
  'commits all of a transaction or nothing': databaseTransactions,
  'undoes a part of a transaction by savepoints': databaseSavepoints,
  'isolates two transactions': databaseIsolation,
  'loses no increment of concurrent transactions': databaseConcurrentWrites,
  'tells ids and numbers of rows': databaseResults,
  'enforces constraints and recognises uniqueness': databaseConstraints,
  'runs one statement at a time': databaseWrongStatements,
  'streams rows': databaseStreaming,
  'serves others while a stream is read': databaseSlowReader,
  'follows changes of tables': databaseChangedTables,
  'waits for running queries when it closes': databaseClosing,
  'closes unused': databaseUnused,
} as const

/** What every database does alike. */
export function databaseSuite(driver: DatabaseDriver): void {
  t.test(driver.name, async (t) => {
    for (const [title, behaviour] of Object.entries(BEHAVIOURS)) {
      await t.test(title, (t) => behaviour(t, driver))
    }
  })
}
