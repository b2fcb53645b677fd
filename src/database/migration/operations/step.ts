import { type Kysely, type KyselyPlugin, type OperationNode, RawNode } from 'kysely'
import { quoteName, quoteNames, quoteText } from '../../dialect/ddl.ts'
import type { DialectName } from '../../schema/types.ts'
import type {
  CompiledStep,
  DataStep,
  Definitions,
  MigrationDatabase,
  Operation,
  RunData,
  RunSql,
  SqlStatements,
} from './operation.ts'

/** A step in SQL, for what no other operation says. Each statement is journaled by itself. */
export const runSql = (step: Omit<RunSql, 'type'>): Operation => ({ type: 'runSql', ...step })

/** A step that changes rows, with Kysely. */
export const runData = (step: Omit<RunData, 'type'>): Operation => ({ type: 'runData', ...step })

export const stepOperations: Definitions<'runSql' | 'runData'> = {
  runSql: {
    tables: () => ({}),
    replay: (schema, { state = [] }, replayAll) => replayAll(state, schema),
    reverse({ type, up, down, state }, reverseAll) {
      if (down === undefined) return undefined
      const back = state && reverseAll(state)
      if (state && !back) return undefined
      return { type, up: down, down: up, ...(back && { state: back }) }
    },
    describe: () => '* step in SQL',
    render: ({ up, down, state }, call) => [
      { up, ...(down !== undefined && { down }), ...(state && { state: state.map(call) }) },
    ],
    lint: () => ['raw-sql'],
    algorithms: () => undefined,
    place: () => undefined,
    mysql: ({ up }) => statementsOf(up, 'mysql'),
    sqlite: ({ up }) => statementsOf(up, 'sqlite'),
  },

  runData: {
    tables: () => ({}),
    replay: (schema) => schema,
    reverse: ({ type, up, down }) => down && { type, up: down, down: up },
    describe: () => '* step in code',
    lint: () => [],
    algorithms: () => undefined,
    place: () => undefined,
    mysql: ({ up }) => [{ data: up }],
    sqlite: ({ up }) => [{ data: up }],
  },
}

function statementsOf(step: SqlStatements, dialect: DialectName): CompiledStep[] {
  if (typeof step === 'string') return [{ sql: step }]
  const all = 'mysql' in step ? step[dialect] : step
  return all.map((sql) => ({ sql }))
}

/**
 * Runs a migration's own code in the transaction it is given.
 *
 * @throws {Error} where it changes the schema: MySQL would commit what has been done so far
 */
export async function runDataStep<DB>(
  step: DataStep,
  transaction: Kysely<DB>,
  dialect: DialectName,
): Promise<void> {
  const db = transaction.withPlugin(rowsOnly) as unknown as MigrationDatabase
  await step(db, dialect)
}

const rowsOnly: KyselyPlugin = {
  transformQuery({ node }) {
    if (changesSchema(node)) {
      throw new Error(
        'runData changes rows only, in one transaction; change the schema with an operation of its own, or with runSql',
      )
    }
    return node
  },
  transformResult: async ({ result }) => result,
}

const SCHEMA_NODE = /^(?:Create|Alter|Drop|Refresh|Truncate)/
// Also what else ends a transaction of MySQL (manual, "Statements That Cause an Implicit Commit"). A comment that begins with ! is none there.
const SCHEMA_SQL =
  /^(?:\/\*M?!|(?:create|alter|drop|rename|truncate|lock|unlock|begin|start|commit|rollback|grant|revoke|analyze|optimize|repair|flush|install|uninstall|set\s+(?:\S+[. ])?@{0,2}autocommit)\b)/i
const SPACE = /^(?:\s|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|\/\*(?!M?!)[\s\S]*?\*\/)+/

function changesSchema(node: OperationNode): boolean {
  if (RawNode.is(node)) return SCHEMA_SQL.test(beginOf(node).replace(SPACE, ''))
  return SCHEMA_NODE.test(node.kind)
}

/** Its SQL up to the first part that is a value or a name; a part may be SQL, too: `sql.raw(…)`. */
function beginOf({ sqlFragments, parameters }: RawNode): string {
  let text = ''
  for (const [i, fragment] of sqlFragments.entries()) {
    text += fragment
    const part = parameters[i]
    if (!part || !RawNode.is(part)) return text
    text += beginOf(part)
  }
  return text
}

// ---- full-text indexes

export interface FullTextOptions {
  /** What it is called, as `fullText` of a list says it. */
  readonly name: string
  /** Columns of text, as `search` of the list has them. */
  readonly columns: readonly string[]
  /** The primary key of the table, one integer; default `id`. */
  readonly key?: string
}

/**
 * A step that makes a full-text index, for lists with `fullText`: of MySQL one of its table, of SQLite a table of its own (FTS5) that triggers keep. A column of it that
 * gets another name needs it dropped before and made again.
 */
export function addFullText(table: string, options: FullTextOptions): Operation {
  const { name, columns } = options
  const mysql = (change: string) => [
    `alter table ${quoteName(table, 'mysql')} ${change} ${quoteName(name, 'mysql')}`,
  ]
  return runSql({
    up: {
      mysql: mysql('add fulltext index').map((sql) => `${sql} ${quoteNames(columns, 'mysql')}`),
      sqlite: createFts(table, options),
    },
    down: {
      mysql: mysql('drop index'),
      sqlite: [
        ...Object.keys(TRIGGERS).map((event) => `drop trigger ${quote(`${name}_${event}`)}`),
        `drop table ${quote(name)}`,
      ],
    },
  })
}

const quote = (name: string) => quoteName(name, 'sqlite')
const textOf = (value: string) => quoteText(value, 'sqlite')

/** What becomes of the words of a row: those before are taken away, those after added. */
const TRIGGERS = { insert: ['new'], update: ['old', 'new'], delete: ['old'] } as const

function createFts(table: string, { name, columns, key = 'id' }: FullTextOptions): string[] {
  const options = [`content=${textOf(table)}`, `content_rowid=${textOf(key)}`]
  // Marks on letters count, as they do in MySQL.
  const all = [...columns.map(quote), ...options, `tokenize='unicode61 remove_diacritics 0'`]
  const own = quote(name)
  const list = ['rowid', ...columns.map(quote)]
  const values = (row: 'old' | 'new') =>
    [key, ...columns].map((column) => `${row}.${quote(column)}`)
  const change = {
    new: `insert into ${own} (${list}) values (${values('new')});`,
    old: `insert into ${own} (${own}, ${list}) values ('delete', ${values('old')});`,
  }
  return [
    `create virtual table ${own} using fts5(${all})`,
    `insert into ${own} (${own}) values ('rebuild')`,
    ...Object.entries(TRIGGERS).map(
      ([event, rows]) =>
        `create trigger ${quote(`${name}_${event}`)} after ${event} on ${quote(table)} begin ${rows.map((row) => change[row]).join(' ')} end`,
    ),
  ]
}
