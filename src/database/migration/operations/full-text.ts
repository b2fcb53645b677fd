import { quoteName, quoteNames, quoteText } from '../../dialect/ddl.ts'
import type { Operation } from './operation.ts'
import { runSql } from './step.ts'

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
