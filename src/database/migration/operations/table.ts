import { quoteName } from '../../dialect/ddl.ts'
import * as mysql from '../../dialect/mysql/ddl.ts'
import * as sqlite from '../../dialect/sqlite/ddl.ts'
import { normalTable, type TableState } from '../../schema/state.ts'
import { COPY, type Definitions, INSTANT, type Operation } from './operation.ts'
import { assertSame, distinct, mapTables, refuseReferences, tableOf, without } from './state.ts'

/** Creates a table with its columns, keys and indexes; taken back it is dropped, with its rows. */
export const createTable = (table: string, definition: TableState): Operation => ({
  type: 'createTable',
  table,
  definition,
})

/** @param definition what it was, for the way back */
export const dropTable = (table: string, definition: TableState): Operation => ({
  type: 'dropTable',
  table,
  definition,
})

/** Renames a table; its rows, indexes and keys stay. */
export const renameTable = (from: string, to: string): Operation => ({
  type: 'renameTable',
  from,
  to,
})

export const tableOperations: Definitions<'createTable' | 'dropTable' | 'renameTable'> = {
  createTable: {
    tables: ({ table }) => ({ after: table }),
    replay(schema, { table, definition }) {
      if (schema[table]) throw new Error(`there is a table ${table} already`)
      return { ...schema, [table]: distinct(schema, table, definition) }
    },
    reverse: (operation) => ({ ...operation, type: 'dropTable' }),
    describe: ({ table }) => `+ table ${table}`,
    render: ({ table, definition }) => [table, normalTable(definition)],
    fileName: ({ table }) => `create_${table}`,
    lint: () => [],
    algorithms: () => INSTANT,
    place: ({ table }) => table,
    mysql: ({ table, definition }) => [mysql.createTableFitting(table, definition)],
    sqlite: ({ table, definition }, _, after) =>
      [
        sqlite.createTableSql(table, definition),
        ...sqlite.createIndexes(table, after[table] as TableState),
      ].map((sql) => ({ sql })),
  },

  dropTable: {
    tables: ({ table }) => ({ before: table }),
    replay(schema, { table, definition }) {
      assertSame(table, normalTable(tableOf(schema, table)), normalTable(definition))
      return without(schema, table)
    },
    reverse: (operation) => ({ ...operation, type: 'createTable' }),
    describe: ({ table }) => `- table ${table}`,
    render: ({ table, definition }) => [table, normalTable(definition)],
    fileName: ({ table }) => `drop_${table}`,
    lint: () => ['drop-table'],
    algorithms: () => INSTANT,
    place: ({ table }) => table,
    refuse: ({ table }, before) => refuseReferences(table, before),
    mysql: ({ table }) => [
      mysql.statement(`drop table ${mysql.name(table)}`, mysql.not(mysql.tableExists(table))),
    ],
    sqlite: ({ table }) => [{ sql: `drop table ${quoteName(table, 'sqlite')}` }],
  },

  renameTable: {
    tables: ({ from, to }) => ({ before: from, after: to }),
    replay(schema, { from, to }) {
      tableOf(schema, from)
      if (schema[to]) throw new Error(`there is a table ${to} already`)
      const named = (name: string) => (name === from ? to : name)
      return mapTables(schema, named, (key) => ({ ...key, table: named(key.table) }))
    },
    reverse: ({ type, from, to }) => ({ type, from: to, to: from }),
    describe: ({ from, to }) => `> table ${from} to ${to}`,
    render: ({ from, to }) => [from, to],
    fileName: ({ from, to }) => `rename_${from}_to_${to}`,
    lint: () => ['rename-table'],
    // Checks get another name: a new one is tried on all rows.
    algorithms: (_, table) =>
      Object.values(table?.columns ?? {}).some(({ values }) => values) ? COPY : INSTANT,
    place: ({ from }) => from,
    // In two statements, because the other tables' foreign keys follow a plain rename for sure.
    mysql({ from, to }, before) {
      const renamed = mysql.statement(
        mysql.alter(from, `rename to ${mysql.name(to)}`),
        mysql.tableExists(to),
        mysql.not(mysql.tableExists(from)),
      )
      const checked = Object.entries(before[from]?.columns ?? {}).filter(([, one]) => one.values)
      const [first] = checked
      if (!first) return [renamed]
      const changes = checked.flatMap(([column, definition]) => [
        ...mysql.dropCheck(from, column, definition),
        ...mysql.addCheck(to, column, definition),
      ])
      return [
        renamed,
        mysql.statement(mysql.alter(to, ...changes), mysql.checkExists(to, first[0])),
      ]
    },
    // Other tables, triggers and views follow SQLite's own rename; a rebuild after it renames the checks only.
    sqlite({ from, to }, _, after) {
      const renames = renamed(from, to).map((sql) => ({ sql }))
      const table = after[to] as TableState
      const isChecked = Object.values(table.columns).some(({ values }) => values)
      return isChecked ? [...renames, sqlite.rebuildTable(to, table, table)] : renames
    },
  },
}

function renamed(from: string, to: string): string[] {
  const rename = (one: string, other: string) =>
    sqlite.alter(one, `rename to ${quoteName(other, 'sqlite')}`)
  if (from.toLowerCase() !== to.toLowerCase()) return [rename(from, to)]
  // To SQLite there is a table of that name already: this one.
  const between = sqlite.temporaryName(from)
  return [rename(from, between), rename(between, to)]
}
