import { createIndexSql, indexNameIn, quoteName } from '../../dialect/ddl.ts'
import * as mysql from '../../dialect/mysql/ddl.ts'
import { rebuildTable } from '../../dialect/sqlite/ddl.ts'
import {
  type ForeignKeyState,
  type IndexState,
  indexesOf,
  normalForeignKey,
  normalIndex,
  type SchemaState,
  type TableState,
} from '../../schema/state.ts'
import {
  COPY,
  type Code,
  type CompiledStep,
  type Definition,
  type Definitions,
  INPLACE,
  type Of,
  type Operation,
  onTable,
} from './operation.ts'
import { added, assertColumns, changeTable, dropped, tableOf } from './state.ts'
import { doubles, orphans } from './trials.ts'

const ofAnIndex =
  (type: IndexOperation['type']) =>
  (table: string, index: IndexState): Operation => ({ type, table, index })

/** Adds an index, which lets rows be equal; {@link addUnique} does not. */
export const addIndex = ofAnIndex('addIndex')

/** @param index what it was, for the way back */
export const dropIndex = ofAnIndex('dropIndex')

/** Adds a unique index; rows that are equal in its columns stop the migration. */
export const addUnique = ofAnIndex('addUnique')

/** @param index what it was, for the way back */
export const dropUnique = ofAnIndex('dropUnique')

const ofAKey =
  (type: KeyOperation['type']) =>
  (table: string, foreignKey: ForeignKeyState): Operation => ({ type, table, foreignKey })

/** Adds a foreign key, with what becomes of rows when the one that they refer to changes or goes. */
export const addForeignKey = ofAKey('addForeignKey')

/** @param foreignKey what it was, for the way back */
export const dropForeignKey = ofAKey('dropForeignKey')

type IndexOperation = Of<'addIndex' | 'dropIndex' | 'addUnique' | 'dropUnique'>

/** Which list of a table an index is in, and what one of it is called. */
const WORDS = { indexes: 'index', unique: 'unique' } as const
type List = keyof typeof WORDS

type Common = 'tables' | 'render' | 'place'

const ofIndex: Pick<Definition<IndexOperation>, Common | 'algorithms'> = {
  tables: onTable,
  algorithms: () => INPLACE,
  render: ({ table, index }) => [table, normalIndex(index)],
  place: ({ index }) => index.name,
}

const adds = (list: List, back: Operation['type'], code: Code): Definition<IndexOperation> => ({
  ...ofIndex,
  replay: (schema, { table, index }) =>
    changeTable(schema, table, (state) => {
      assertColumns(state, table, index.columns)
      return { ...state, [list]: added(state[list] ?? [], index, table) }
    }),
  reverse: (operation) => ({ ...operation, type: back }) as Operation,
  describe: ({ table, index }) => `+ ${WORDS[list]} ${table}(${index.columns.join(', ')})`,
  fileName: ({ index }) => `add_${index.name}`,
  lint: () => [code],
  ...(list === 'unique' && {
    trial: ({ table, index }: IndexOperation) => doubles(table, index.columns),
  }),
  mysql: ({ table, index }) => [
    mysql.statement(
      createIndexSql(table, index, 'mysql', list === 'unique'),
      mysql.indexExists(table, index.name),
    ),
  ],
  sqlite: (operation, _, after) => {
    const index = indexIn(after, operation)
    return [{ sql: createIndexSql(operation.table, index, 'sqlite', list === 'unique') }]
  },
})

const drops = (list: List, back: Operation['type']): Definition<IndexOperation> => ({
  ...ofIndex,
  replay: (schema, { table, index }) =>
    changeTable(schema, table, (state) => {
      return { ...state, [list]: dropped(state[list] ?? [], index, table, normalIndex) }
    }),
  reverse: (operation) => ({ ...operation, type: back }) as Operation,
  describe: ({ table, index }) => `- ${WORDS[list]} ${table}(${index.columns.join(', ')})`,
  fileName: ({ index }) => `drop_${index.name}`,
  lint: () => [],
  mysql: ({ table, index }) => [
    mysql.statement(
      `drop index ${mysql.name(index.name)} on ${mysql.name(table)}`,
      mysql.not(mysql.indexExists(table, index.name)),
    ),
  ],
  sqlite: (operation, before) => {
    const name = indexNameIn(indexIn(before, operation), 'sqlite')
    return [{ sql: `drop index ${quoteName(name, 'sqlite')}` }]
  },
})

/** The index of an operation, as the table has it. */
function indexIn(schema: SchemaState, { table, index }: IndexOperation): IndexState {
  return indexesOf(schema[table]).find((one) => one.name === index.name) ?? index
}

type KeyOperation = Of<'addForeignKey' | 'dropForeignKey'>

const ofKey: Pick<Definition<KeyOperation>, Common | 'sqlite'> = {
  tables: onTable,
  render: ({ table, foreignKey }) => [table, normalForeignKey(foreignKey)],
  place: ({ foreignKey }) => foreignKey.name,
  sqlite: ({ table }, before, after): CompiledStep[] => [
    rebuildTable(table, before[table] as TableState, after[table] as TableState),
  ],
}

export const keyOperations: Definitions<(IndexOperation | KeyOperation)['type']> = {
  addIndex: adds('indexes', 'dropIndex', 'add-index'),
  dropIndex: drops('indexes', 'addIndex'),
  addUnique: adds('unique', 'dropUnique', 'add-unique'),
  dropUnique: drops('unique', 'addUnique'),

  addForeignKey: {
    ...ofKey,
    replay: (schema, { table, foreignKey: key }) =>
      changeTable(schema, table, (state) => {
        assertColumns(state, table, key.columns)
        assertColumns(tableOf(schema, key.table), key.table, key.references)
        return { ...state, foreignKeys: added(state.foreignKeys ?? [], key, table) }
      }),
    reverse: (operation) => ({ ...operation, type: 'dropForeignKey' }),
    describe: ({ table, foreignKey }) => `+ foreign key ${reference(table, foreignKey)}`,
    fileName: ({ foreignKey }) => `add_${foreignKey.name}`,
    lint: () => ['add-foreign-key'],
    // While the server checks foreign keys, it copies.
    algorithms: () => COPY,
    trial: ({ table, foreignKey }) => orphans(table, foreignKey),
    mysql: ({ table, foreignKey }, before) => [
      mysql.addForeignKeyFitting(table, foreignKey, before[table]?.columns ?? {}),
    ],
  },

  dropForeignKey: {
    ...ofKey,
    replay: (schema, { table, foreignKey: key }) =>
      changeTable(schema, table, (state) => {
        const foreignKeys = dropped(state.foreignKeys ?? [], key, table, normalForeignKey)
        return { ...state, foreignKeys }
      }),
    reverse: (operation) => ({ ...operation, type: 'addForeignKey' }),
    describe: ({ table, foreignKey }) => `- foreign key ${reference(table, foreignKey)}`,
    fileName: ({ foreignKey }) => `drop_${foreignKey.name}`,
    lint: () => [],
    algorithms: () => ({ mysql: 'INPLACE', mariadb: 'INSTANT' }),
    mysql: ({ table, foreignKey: { name } }) => [
      mysql.statement(
        mysql.alter(table, `drop foreign key ${mysql.name(name)}`),
        mysql.not(mysql.constraintExists(table, name, 'FOREIGN KEY')),
      ),
    ],
  },
}

function reference(owner: string, key: ForeignKeyState): string {
  const { columns, table, references, onDelete, onUpdate } = key
  const actions = [onDelete && ` on delete ${onDelete}`, onUpdate && ` on update ${onUpdate}`]
  const ends = `${owner}(${columns.join(', ')}) to ${table}(${references.join(', ')})`
  return ends + actions.filter(Boolean).join('')
}
