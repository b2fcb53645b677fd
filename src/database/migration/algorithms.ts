import { isDeepStrictEqual } from 'node:util'
import type { ColumnState, SchemaState, TableState } from '../schema/state.ts'
import { isInPlace, type PortableType } from '../schema/types.ts'
import type { Of, Operation, SchemaOperation } from './operations/operation.ts'

/**
 * How a server does a statement. `INSTANT`: only what it knows of the table changes. `INPLACE`: the table is read or written anew while
 * others read and write it. `COPY`: it is written anew, and nobody can write to it meanwhile.
 */
export type Algorithm = 'INSTANT' | 'INPLACE' | 'COPY'

export interface Algorithms {
  /** Of MySQL 8.0.29 or later, as its manual says ("Online DDL Operations"). */
  readonly mysql: Algorithm
  /** Of MariaDB 10.11, as measured. */
  readonly mariadb: Algorithm
}

const INSTANT: Algorithms = { mysql: 'INSTANT', mariadb: 'INSTANT' }
const INPLACE: Algorithms = { mysql: 'INPLACE', mariadb: 'INPLACE' }
const COPY: Algorithms = { mysql: 'COPY', mariadb: 'COPY' }
const of = (mysql: Algorithm, mariadb: Algorithm): Algorithms => ({ mysql, mariadb })

/**
 * How MySQL and MariaDB do an operation; of several statements the most expensive counts.
 *
 * @param before the schema that it is done to
 * @returns `undefined` of a step by hand
 */
export function algorithmsOf(operation: Operation, before: SchemaState): Algorithms | undefined {
  if (operation.type === 'runSql' || operation.type === 'runData') return undefined
  const table = before['table' in operation ? operation.table : operation.from]
  return (ALGORITHMS[operation.type] as Rule<Operation['type']>)(operation as never, table)
}

type Rule<Type extends Operation['type']> = (
  operation: Of<Type>,
  table: TableState | undefined,
) => Algorithms

const ALGORITHMS: { readonly [Type in SchemaOperation['type']]: Rule<Type> } = {
  createTable: () => INSTANT,
  dropTable: () => INSTANT,
  // Checks get another name: a new one is tried on all rows.
  renameTable: (_, table) =>
    Object.values(table?.columns ?? {}).some(({ values }) => values) ? COPY : INSTANT,
  addColumn: ({ definition }) => added(definition),
  dropColumn: ({ definition }) => (isStored(definition) ? of('INPLACE', 'INSTANT') : INSTANT),
  alterColumn: ({ column, from, to }, table) => altered(from, to, isIndexed(column, table)),
  renameColumn: ({ from }, table) => (table?.columns[from]?.values ? COPY : INSTANT),
  addIndex: () => INPLACE,
  addUnique: () => INPLACE,
  dropIndex: () => INPLACE,
  dropUnique: () => INPLACE,
  // While the server checks foreign keys, it copies.
  addForeignKey: () => COPY,
  dropForeignKey: () => of('INPLACE', 'INSTANT'),
}

const isStored = ({ type }: ColumnState) =>
  typeof type === 'object' && / as \([\s\S]*\) *(stored|persistent)/i.test(type.mysql)

function added(column: ColumnState): Algorithms {
  return column.values || isStored(column) ? COPY : INSTANT
}

function isIndexed(column: string, table: TableState | undefined): boolean {
  const { primaryKey = [], indexes = [], unique = [] } = table ?? {}
  return [{ columns: primaryKey }, ...indexes, ...unique].some(({ columns }) =>
    columns.includes(column),
  )
}

function altered(from: ColumnState, to: ColumnState, indexed: boolean): Algorithms {
  if (!isDeepStrictEqual(from.values, to.values) && to.values) return COPY
  if (!isDeepStrictEqual(from.type, to.type) && !isLonger(from, to)) return COPY
  if (from.comparison !== to.comparison) return of('COPY', indexed ? 'INPLACE' : 'INSTANT')
  if (from.nullable && !to.nullable) return of('INPLACE', 'COPY')
  if (!from.nullable && to.nullable) return INPLACE
  if (isDeepStrictEqual(from.type, to.type)) return INSTANT
  return of(
    isInPlace(from.type as PortableType, to.type as PortableType) ? 'INPLACE' : 'COPY',
    'INSTANT',
  )
}

const lengthOf = ({ type }: ColumnState) =>
  Number((typeof type === 'string' && /^varchar\((\d+)\)$/.exec(type)?.[1]) || Number.NaN)

const isLonger = (from: ColumnState, to: ColumnState) => lengthOf(from) < lengthOf(to)
