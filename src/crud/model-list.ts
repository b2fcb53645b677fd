import type { TObject } from 'typebox'
import type { Model } from '../database/model/model.ts'
import { defineResource } from '../resource/resource.ts'
import { defineList, type Filter, type ListOptions } from './list.ts'
import type { ActionSettings } from './model-access.ts'
import type { AnyTables } from './model-write.ts'

/**
 * The list resource of a model.
 *
 * @param row as it is shown
 * @param within the columns that every request says
 * @param settings who may call it, and which rows these have
 */
export function createModelList(
  model: Model,
  row: TObject,
  noun: string,
  options: Partial<ListOptions<string, Record<string, Filter<string>>>>,
  within: readonly string[],
  settings: ActionSettings['list'],
) {
  const { table, state } = model
  const [first = '', ...others] = state.primaryKey
  const columns = Object.keys(row.properties)
  const list = defineList(row, {
    from: (db) => (db as unknown as AnyTables).selectFrom(table).select(columns),
    order: [first, ...others],
    ...options,
    filters: {
      ...options.filters,
      ...Object.fromEntries(within.map((name) => [name, 'equals' as const])),
    },
    required: within,
    ...(settings.scope && { scope: settings.scope }),
    key: state.primaryKey,
  })
  return defineResource({
    summary: `Every ${noun}, page by page`,
    request: list.request,
    response: list.response,
    ...settings,
    perform: (input, { db }) => list.paginate(db, input),
  })
}
