import { type TObject, type TOptional, type TUnsafe, Type } from 'typebox'
import type { Model } from '../database/model/types.ts'
import { errors } from '../errors.ts'
import { download } from '../resource/download.ts'
import { defineResource } from '../resource/resource.ts'
import { stream } from '../resource/stream.ts'
import { defineList, type Filter, type ListOptions } from './list.ts'
import type { ActionSettings } from './model-access.ts'
import type { AnyTables } from './model-write.ts'
import { type RowsOptions, rows } from './rows.ts'

type RowsFormat = RowsOptions<object>['as']

/** The parameter of an export that says how its rows are written. */
export type FormatParameter = TOptional<TUnsafe<RowsFormat>>

const FORMATS = ['csv', 'ndjson', 'json'] satisfies RowsFormat[]
const TYPES = ['text/csv', 'application/x-ndjson', 'application/json']

const format: FormatParameter = Type.Optional(
  Type.Unsafe<RowsFormat>(
    Type.Enum(FORMATS, {
      default: 'csv',
      description:
        'CSV with the names of the columns in its first line, an object in each line, or one list.',
    }),
  ),
)

/**
 * The resources that give many rows of a model: its list, page by page, and all that the list would have, as a file.
 *
 * @param row as it is shown
 * @param within the columns that every request says
 * @param settings who may call them, and which rows these have
 * @param exports whether the second is wanted
 * @throws {PlinthError} RESOURCE_INVALID
 */
export function createModelLists(
  model: Model,
  row: TObject,
  noun: string,
  options: Partial<ListOptions<string, Record<string, Filter<string>>>>,
  within: readonly string[],
  settings: ActionSettings,
  exports: boolean,
) {
  const { table, state } = model
  const [first = '', ...others] = state.primaryKey
  const columns = Object.keys(row.properties)
  const filters = {
    ...options.filters,
    ...Object.fromEntries(within.map((name) => [name, 'equals' as const])),
  }
  const { scope } = settings.list
  const list = defineList(row, {
    from: (db) => (db as unknown as AnyTables).selectFrom(table).select(columns),
    order: [first, ...others],
    ...options,
    filters,
    required: within,
    ...(scope && { scope }),
    key: state.primaryKey,
  })
  if (exports && 'format' in filters)
    throw errors.RESOURCE_INVALID(`of ${table}`, 'a filter cannot be called format')
  const { properties } = list.request
  const narrowing = Object.entries(properties).filter(
    ([name]) => name in filters || name === 'search',
  )
  return {
    list: defineResource({
      summary: `Every ${noun}, page by page`,
      request: list.request,
      response: list.response,
      ...settings.list,
      perform: (input, { db }) => list.paginate(db, input),
    }),
    export: defineResource({
      summary: `Every ${noun}, as a file`,
      description: 'All rows of the list, by its filters, in the order of their keys.',
      path: '/export',
      request: Type.Object({ ...Object.fromEntries(narrowing), format }),
      response: stream(TYPES),
      ...settings.export,
      perform({ format: as = 'csv', ...input }, { db }) {
        const query = list.select(db, input as never)
        const all = rows(query, { as, columns: columns as never, key: state.primaryKey as never })
        return download(`${table}.${as}`, all)
      },
    }),
  }
}
