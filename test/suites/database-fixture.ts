import Fastify from 'fastify'
import { type ColumnType, type Generated, type Kysely, sql } from 'kysely'
import type { Test } from 'tap'
import database, { type DatabaseOptions } from '../../plugins/database.ts'
import type { Timestamp } from '../../src/database/types.ts'
import type { DatabaseDriver } from '../helpers/drivers.ts'

/** A table with a column of every type. */
interface SampleTable {
  id: Generated<number>
  small: number | null
  big: number | bigint | null
  flag: boolean | null
  price: ColumnType<string, string | number, string> | null
  ratio: number | null
  name: string | null
  body: string | null
  data: Buffer | null
  doc: ColumnType<unknown, unknown, unknown>
  born: string | null
  at_time: string | null
  seen: Timestamp | null
}

export interface Tables {
  sample: SampleTable
  owner: { id: Generated<number>; email: string }
  pet: { id: Generated<number>; owner_id: number }
}

export type Db = Kysely<Tables>

/** An app with the database, closed with the test; unless told, a query waits for a connection on a busy machine, too. */
export async function open(t: Test, options: DatabaseOptions) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(database, { acquireTimeout: '60s', ...options })
  return { app, db: app.db as unknown as Db }
}

/** The same with an empty database that has the tables of these suites. */
export async function openWithTables(
  t: Test,
  driver: DatabaseDriver,
  options: Omit<DatabaseOptions, 'url'> = {},
) {
  const url = await driver.url(t)
  const opened = await open(t, { url, ...options })
  await createTables(opened.db, driver.name)
  return { ...opened, url }
}

const TYPES = {
  sqlite: { id: 'integer', price: sql`decimal_text(22, 4)` },
  mysql: { id: 'bigint', price: sql`decimal(22, 4)` },
} as const

async function createTables({ schema }: Db, name: DatabaseDriver['name']): Promise<void> {
  const { id, price } = TYPES[name]
  await schema
    .createTable('sample')
    .addColumn('id', id, (column) => column.primaryKey().autoIncrement())
    .addColumn('small', 'integer')
    .addColumn('big', 'bigint')
    .addColumn('flag', 'boolean')
    .addColumn('price', price)
    .addColumn('ratio', 'double precision')
    .addColumn('name', 'varchar(20)')
    .addColumn('body', 'text')
    .addColumn('data', 'blob')
    .addColumn('doc', 'json')
    .addColumn('born', 'date')
    .addColumn('at_time', 'time')
    .addColumn('seen', 'datetime(3)')
    .execute()
  await schema
    .createTable('owner')
    .addColumn('id', id, (column) => column.primaryKey().autoIncrement())
    .addColumn('email', 'varchar(100)', (column) => column.notNull().unique())
    .execute()
  await schema
    .createTable('pet')
    .addColumn('id', id, (column) => column.primaryKey().autoIncrement())
    .addColumn('owner_id', id, (column) => column.notNull())
    .addForeignKeyConstraint('pet_owner', ['owner_id'], 'owner', ['id'])
    .execute()
}
