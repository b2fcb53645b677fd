import { isDeepStrictEqual } from 'node:util'
import { columnSql, defaultSql, isComputed } from '../../dialect/ddl.ts'
import { type Kept, NOTHING } from '../../dialect/mysql/alter.ts'
import type { ColumnState } from '../../schema/state.ts'
import { addedWith, filledWith } from './fill.ts'
import { columnExists, constraintExists, exactColumnExists, not } from './happened.ts'
import type { ColumnOperation, Of } from './misfit.ts'
import { addCheck, alter, checkExists, dropCheck, name, statement } from './mysql-words.ts'
import type { Statement } from './steps.ts'

// MySQL gives the rows that are there 0 or '' where nobody said a value. This check, which no row passes, makes it
// refuse instead, as SQLite does, and its name is in the error.
const NO_ROWS = 'existing_rows_need_a_default'

/** What becomes of one column, as a part of `alter table`. */
interface Change {
  /** @param kept what a column that is modified keeps */
  readonly changes: (kept: Kept) => readonly string[]
  /** What is so once it has happened. None: it does no harm to do it twice. */
  readonly facts: readonly string[]
  /** Where the column is modified, its type in SQL, if the recorded schema has it so. */
  readonly known?: string
  /** Whether texts are compared as before. */
  readonly keepsCollation?: boolean
  /** Whether the table may have no rows. */
  readonly isOfEmpty?: boolean
  /** What the rows without a value get before, in SQL. */
  readonly fill?: string | undefined
  /** What is altered behind it: the default that it had for the rows that are there goes. */
  readonly behind?: string
}

/**
 * One statement for all columns: each for itself would write a large table anew. All of it happens, or nothing does.
 *
 * @param before the columns that there are
 */
export function changeColumns(
  table: string,
  operations: readonly ColumnOperation[],
  before: Readonly<Record<string, ColumnState>>,
): Statement[] {
  const all = operations.map((one) => changeOf(one, before[one.column] as ColumnState))
  const isOfEmpty = all.some((one) => one.isOfEmpty)
  const sql = (kept: readonly Kept[]) =>
    alter(
      table,
      ...all.flatMap(({ changes }, i) => changes(kept[i] ?? NOTHING)),
      ...(isOfEmpty ? [`add constraint ${NO_ROWS} check (1 < 1)`] : []),
    )
  const columns = operations.map(({ column }, i) => {
    const { known, keepsCollation } = all[i] as Change
    return { column, known, keepsCollation }
  })
  const modified = columns.some(({ known }) => known !== undefined) && {
    modified: { table, columns, sql },
  }
  const facts = all.flatMap((one) => one.facts)
  const changed: Statement =
    facts.length > 0
      ? { ...statement(sql([]), ...facts), ...modified }
      : { sql: sql([]), ...modified, repeatable: true }
  const behind = all.flatMap((one) => one.behind ?? [])
  return [
    ...fillNulls(table, columns, all),
    changed,
    ...(behind.length > 0 ? [{ sql: alter(table, ...behind), repeatable: true } as const] : []),
    ...(isOfEmpty
      ? [
          statement(
            alter(table, `drop constraint ${NO_ROWS}`),
            not(constraintExists(table, NO_ROWS, 'CHECK')),
          ),
        ]
      : []),
  ]
}

function fillNulls(
  table: string,
  columns: readonly { column: string }[],
  all: readonly Change[],
): Statement[] {
  const filled = columns.flatMap(({ column }, i) => {
    const { fill } = all[i] as Change
    return fill === undefined ? [] : [[name(column), fill] as const]
  })
  if (filled.length === 0) return []
  const set = filled.map(([column, fill]) => `${column} = coalesce(${column}, ${fill})`)
  const where = filled.map(([column]) => `${column} is null`)
  const sql = `update ${name(table)} set ${set.join(', ')} where ${where.join(' or ')}`
  return [{ sql, repeatable: true }]
}

function changeOf(operation: ColumnOperation, before: ColumnState): Change {
  switch (operation.type) {
    case 'addColumn':
      return addColumn(operation)
    case 'dropColumn':
      return dropColumn(operation, before)
    case 'alterColumn':
      return alterColumn(operation, before)
  }
}

function addColumn(operation: Of<'addColumn'>): Change {
  const { table, column, definition } = operation
  const { nullable, default: value } = definition
  const added = addedWith(operation, 'mysql')
  // Without a word MySQL takes no insert that leaves out a column whose default was dropped, nullable or not.
  const own = nullable || value !== undefined || isComputed(definition, 'mysql')
  const words = value === undefined ? 'null' : defaultSql(definition, 'mysql')
  return {
    changes: () => [
      `add column ${columnSql(column, added ?? definition, 'mysql')}`,
      ...addCheck(table, column, definition),
    ],
    facts: [columnExists(table, column)],
    isOfEmpty: !own && !added,
    ...(added && {
      behind: `alter column ${name(column)} ${own ? `set default ${words}` : 'drop default'}`,
    }),
  }
}

function dropColumn({ table, column }: Of<'dropColumn'>, before: ColumnState): Change {
  return {
    changes: () => [...dropCheck(table, column, before), `drop column ${name(column)}`],
    facts: [not(columnExists(table, column))],
  }
}

function alterColumn(operation: Of<'alterColumn'>, from: ColumnState): Change {
  const { table, column, to } = operation
  const isSame = isDeepStrictEqual(from.values, to.values)
  const check = checkExists(table, column)
  return {
    changes: ({ words, collation }) => [
      ...(isSame ? [] : dropCheck(table, column, from)),
      `modify column ${columnSql(column, to, 'mysql', collation)}${words}`,
      ...(isSame ? [] : addCheck(table, column, to)),
    ],
    facts: isSame || (from.values && to.values) ? [] : [to.values ? check : not(check)],
    known: typeof from.type === 'object' ? from.type.mysql : '',
    keepsCollation: from.comparison === to.comparison,
    fill: filledWith(operation, 'mysql'),
  }
}

export function renameColumn(
  { table, from, to }: Of<'renameColumn'>,
  definition: ColumnState,
): Statement {
  const sql = alter(
    table,
    ...dropCheck(table, from, definition),
    `rename column ${name(from)} to ${name(to)}`,
    ...addCheck(table, to, definition),
  )
  return statement(sql, exactColumnExists(table, to), not(exactColumnExists(table, from)))
}
