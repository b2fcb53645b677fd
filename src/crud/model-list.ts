import type { TObject } from 'typebox'
import type { Model } from '../database/model/model.ts'
import type { RowScope } from '../resource/contract.ts'
import { defineResource } from '../resource/resource.ts'
import { defineList, type ListOptions } from './list.ts'
import type { AnyTables } from './model-write.ts'

interface Listing {
  noun: string
  options: Partial<ListOptions<string, Record<never, never>>>
  /** A row, as it is shown. */
  schema: TObject
  scope: RowScope | undefined
}

/** The list resource of a model. */
export function createModelList(model: Model, { noun, options, schema, scope }: Listing) {
  const { table, state } = model
  const [first = '', ...others] = state.primaryKey
  const columns = Object.keys(schema.properties)
  const list = defineList(schema, {
    from: (db) => (db as unknown as AnyTables).selectFrom(table).select(columns),
    order: [first, ...others],
    ...options,
    ...(scope && { scope }),
    key: state.primaryKey,
  })
  return defineResource({
    summary: `Every ${noun}, page by page`,
    request: list.request,
    response: list.response,
    ...(scope && { scope }),
    perform: (input, { db }) => list.paginate(db, input),
  })
}
