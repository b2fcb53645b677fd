import { type Kysely, sql } from 'kysely'
import type { Test } from 'tap'
import type { Statement } from '../../../../src/database/dialect/ddl.ts'
import { runRebuild } from '../../../../src/database/dialect/sqlite/ddl.ts'
import { createTable, dropTable } from '../../../../src/database/migration/index.ts'
import {
  compileOperations,
  replayAll,
} from '../../../../src/database/migration/operations/index.ts'
import type {
  CompiledStep,
  Operation,
} from '../../../../src/database/migration/operations/operation.ts'
import type { SchemaState } from '../../../../src/database/schema/state.ts'
import type { DialectName } from '../../../../src/database/schema/types.ts'
import type { AnyDatabase } from '../../fixture.ts'

export async function run(db: AnyDatabase, statement: string): Promise<void> {
  await sql.raw(statement).execute(db)
}

export async function rowsOf(db: AnyDatabase, query: string): Promise<Record<string, unknown>[]> {
  const { rows } = await sql.raw<Record<string, unknown>>(query).execute(db)
  return rows
}

/**
 * Does operations as the migrator does: on SQLite in one transaction without foreign keys, which are checked at its
 * end. On MySQL each statement has to tell whether it has happened, or is run twice where it says that it may be.
 *
 * @returns the state after them
 */
export async function apply(
  t: Test,
  { db, dialect }: { db: AnyDatabase; dialect: DialectName },
  operations: readonly Operation[],
  before: SchemaState = {},
): Promise<SchemaState> {
  const steps = compileOperations(operations, before, dialect)
  if (dialect === 'mysql') {
    for (const step of steps) await onMysql(t, db, step as Statement)
  } else {
    await withoutForeignKeys(db, async (db) => {
      for (const step of steps) await onSqlite(db, step)
    })
  }
  return replayAll(operations, before)
}

export async function withoutForeignKeys(
  db: AnyDatabase,
  work: (db: AnyDatabase) => Promise<void>,
): Promise<void> {
  await db.connection().execute(async (connection) => {
    await run(connection, 'pragma foreign_keys = off')
    try {
      await connection.transaction().execute(async (db) => {
        await work(db)
        const broken = await rowsOf(db, 'pragma foreign_key_check')
        if (broken.length > 0) throw new Error(`Broken references: ${JSON.stringify(broken)}`)
      })
    } finally {
      await run(connection, 'pragma foreign_keys = on')
    }
  })
}

async function onSqlite(db: AnyDatabase, step: CompiledStep): Promise<void> {
  if ('rebuild' in step) await runRebuild(db, step)
  else if ('sql' in step) await run(db, step.sql)
  else throw new Error('Data steps are the migrator’s')
}

async function onMysql(t: Test, db: AnyDatabase, step: Statement): Promise<void> {
  const happened = async () =>
    step.happened && Object.values((await rowsOf(db, step.happened))[0] ?? {})[0]
  t.equal(step.happened === undefined, step.repeatable === true, `one of both: ${step.sql}`)
  if (step.happened) t.equal(await happened(), 0, `has not happened: ${step.sql}`)
  await run(db, step.sql)
  if (step.happened) t.equal(await happened(), 1, `has happened: ${step.sql}`)
  if (step.repeatable) await run(db, step.sql)
}

/** The operations that make, and those that remove, all tables of a state. */
export const creating = (schema: SchemaState): Operation[] =>
  Object.entries(schema).map(([table, definition]) => createTable(table, definition))

export const dropping = (schema: SchemaState): Operation[] =>
  Object.entries(schema)
    .map(([table, definition]) => dropTable(table, definition))
    .reverse()

/** What the database itself says of its tables, but not in which order the columns are. */
export async function look(db: AnyDatabase, dialect: DialectName): Promise<unknown> {
  return dialect === 'mysql' ? await lookAtMysql(db) : await lookAtSqlite(db)
}

async function lookAtMysql(db: AnyDatabase): Promise<unknown> {
  const here = (column: string) => `where ${column} = database()`
  return await Promise.all(
    [
      `select table_name, engine, table_collation from information_schema.tables ${here('table_schema')} order by 1`,
      `select table_name, column_name, column_type, is_nullable, column_default, extra, collation_name
       from information_schema.columns ${here('table_schema')} order by 1, 2`,
      `select table_name, index_name, seq_in_index, column_name, non_unique
       from information_schema.statistics ${here('table_schema')} order by 1, 2, 3`,
      `select constraint_name, check_clause from information_schema.check_constraints
       ${here('constraint_schema')} order by 1`,
      `select table_name, constraint_name, column_name, referenced_table_name, referenced_column_name
       from information_schema.key_column_usage ${here('table_schema')} order by 1, 2, ordinal_position`,
      `select constraint_name, table_name, referenced_table_name, delete_rule, update_rule
       from information_schema.referential_constraints ${here('constraint_schema')} order by 1`,
    ].map((query) => rowsOf(db, query)),
  )
}

async function lookAtSqlite(db: AnyDatabase): Promise<unknown> {
  const tables = await rowsOf(
    db,
    `select name, sql from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name`,
  )
  return await Promise.all(
    tables.map(async ({ name, sql: text }) => ({
      name,
      columns: await pragma(
        db,
        sql`select name, type, "notnull", dflt_value, pk from pragma_table_xinfo(${name}) order by name`,
      ),
      indexes: await pragma(
        db,
        sql`select l.name, l."unique", i.seqno, i.name as "column" from pragma_index_list(${name}) l,
            pragma_index_info(l.name) i where l.origin = 'c' order by 1, 3`,
      ),
      foreignKeys: await pragma(
        db,
        sql`select "table", "from", "to", on_update, on_delete from pragma_foreign_key_list(${name}) order by 2`,
      ),
      constraints: String(text)
        .match(/constraint (?:"[^"]*")+ (?:check \(.*?\)\)|foreign key)/gi)
        ?.sort(),
      generated: /autoincrement/.test(String(text)),
    })),
  )
}

async function pragma(db: Kysely<never> | AnyDatabase, query: ReturnType<typeof sql>) {
  return (await query.execute(db as AnyDatabase)).rows
}
