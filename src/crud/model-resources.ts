import { type TArray, type TNull, type TObject, type TProperties, Type } from 'typebox'
import type {
  AuditColumn,
  InputProperties,
  Model,
  ModelOf,
  PatchProperties,
  RowProperties,
} from '../database/model/model.ts'
import { errors } from '../errors.ts'
import type { Context } from '../resource/context.ts'
import { defineResource, type Resource } from '../resource/resource.ts'
import type {
  Counting,
  Filter,
  FilterProperties,
  ListedRow,
  ListOptions,
  PageParameters,
  PageSchema,
} from './list.ts'
import { createModelList } from './model-list.ts'
import { ModelRows } from './model-rows.ts'
import type { Values } from './model-write.ts'

/** The names of the resources of a model. */
export type ModelAction =
  | 'list'
  | 'retrieve'
  | 'create'
  | 'createMany'
  | 'replace'
  | 'update'
  | 'remove'

export interface ModelResourcesOptions<
  Row extends TProperties,
  Filters,
  Search extends readonly (keyof Row & string)[],
  Fields extends readonly (keyof Row & string)[],
  Only extends ModelAction,
  Count extends Counting,
  Version extends keyof Row & string,
> {
  /**
   * The column that tells one state of a row from another: an integer, which begins at 1 and which every change made here raises,
   * or `updated_at`, which does not tell two changes within one millisecond apart. A row then has an `ETag`, and with `If-Match` a
   * PUT, PATCH or DELETE is one conditional statement: of several at once one wins, and the others are 412.
   */
  version?: Version
  /** What may be filtered, searched and ordered by; without `order`: by the primary key. */
  list?: Omit<
    ListOptions<keyof Row & string, Filters, Search, Fields, Count>,
    'from' | 'key' | 'order'
  > &
    Partial<Pick<ListOptions<NoInfer<keyof Row & string>, Filters>, 'order'>>
  /** Which resources there are; default: all. */
  only?: readonly Only[]
  /** What a row is called in summaries and messages; default: the table's name. */
  noun?: string
  /** The most rows of one `createMany`; default 1000. */
  maxMany?: number
}

/** The resources of a model, by name. */
export interface ModelResources<
  Row extends TProperties,
  Input extends TProperties,
  Patch extends TProperties,
  Key extends string,
  Query extends TProperties,
  Listed extends TProperties,
  Count extends Counting,
> {
  list: Resource<TObject<Query>, PageSchema<TObject<Listed>, Count>>
  retrieve: Resource<TObject<Keyed<Row, Key>>, TObject<Row>>
  create: Resource<TObject<Input>, TObject<Row>>
  createMany: Resource<TArray<TObject<Input>>, TArray<TObject<Keyed<Row, Key>>>>
  replace: Resource<TObject<Keyed<Row, Key> & Omit<Input, Key>>, TObject<Row>>
  update: Resource<TObject<Keyed<Row, Key> & Omit<Patch, Key>>, TObject<Row>>
  remove: Resource<TObject<Keyed<Row, Key>>, TNull>
}

type Keyed<Row extends TProperties, Key extends string> = Pick<Row, Key & keyof Row>

/**
 * Makes the usual resources of a model: ordinary ones, to be spread into a module and replaced one by one.
 * `defineModule({ prefix: '/cities', resources: { ...modelResources(City), list: own } })`
 *
 * @throws {PlinthError} RESOURCE_INVALID where a filter has the name of a parameter of every list, or `version` is no number
 */
export function modelResources<
  Columns extends TProperties,
  Generated extends string,
  Audit extends AuditColumn,
  SoftDelete extends boolean,
  Key extends string,
  const Filters extends Record<
    string,
    Filter<keyof RowProperties<Columns, Audit> & string>
  > = Record<never, never>,
  const Search extends readonly (keyof RowProperties<Columns, Audit> & string)[] = readonly [],
  const Fields extends readonly (keyof RowProperties<Columns, Audit> & string)[] = readonly [],
  const Only extends ModelAction = ModelAction,
  const Count extends Counting = true,
  const Version extends keyof RowProperties<Columns, Audit> & string = never,
>(
  model: ModelOf<string, Columns, Generated, Audit, SoftDelete, Key>,
  options: ModelResourcesOptions<
    RowProperties<Columns, Audit>,
    Filters,
    Search,
    Fields,
    Only,
    Count,
    Version
  > = {},
): Pick<
  ModelResources<
    RowProperties<Columns, Audit>,
    Omit<InputProperties<Columns, Generated>, Version>,
    Omit<PatchProperties<Columns, Generated>, Version>,
    Key,
    FilterProperties<RowProperties<Columns, Audit>, Filters> &
      PageParameters<Search, Fields, Count>,
    ListedRow<RowProperties<Columns, Audit>, Fields>,
    Count
  >,
  Only
> {
  const { only, noun = model.table.replaceAll('_', ' '), maxMany = 1000, list = {} } = options
  const { version } = options
  if (version !== undefined) assertVersion(model, version)
  const rows = new ModelRows(model, noun, version)
  const etag =
    version === undefined
      ? undefined
      : (key: Values, context: Context) => rows.tagOf(version, key, context)
  const parts: Parts = {
    rows,
    noun,
    schema: model.schema,
    input: without(model.input, version),
    patch: without(model.patch, version),
    ...(etag && { conditional: { etag } }),
  }
  const all = {
    list: createModelList(model, noun, list as never),
    ...createReading(parts),
    ...createWriting(parts, maxMany),
  }
  const names = only ?? (Object.keys(all) as Only[])
  return Object.fromEntries(names.map((name) => [name, all[name]])) as never
}

/** What the resources of a model are made of. */
interface Parts {
  rows: ModelRows
  noun: string
  schema: TObject
  input: TObject
  patch: TObject
  /** What those of one row have where requests may have conditions. */
  conditional?: { etag: (key: Values, context: Context) => Promise<string | undefined> }
}

function assertVersion({ table, state, audit }: Model, version: string): void {
  const isChange = version === 'updated_at' && audit.includes('updated_at')
  const { type } = state.columns[version] ?? {}
  if (isChange || type === 'integer' || type === 'bigint') return
  const problem = `its version is ${version}; expected a column of integers, or updated_at of audit`
  throw errors.RESOURCE_INVALID(`of ${table}`, problem)
}

/** What a client may say: the version is not his to say. */
function without(schema: TObject, version: string | undefined): TObject {
  if (version === undefined) return schema
  const entries = Object.entries(schema.properties).filter(([name]) => name !== version)
  return Type.Object(Object.fromEntries(entries))
}

function createReading({ rows, noun, schema, conditional }: Parts) {
  const { request, path } = rows
  return {
    retrieve: defineResource({
      summary: `One ${noun}`,
      path,
      request,
      response: schema,
      ...conditional,
      perform: (key, context) => rows.retrieve(key, context),
    }),
    remove: defineResource({
      summary: `Delete one ${noun}`,
      method: 'DELETE',
      path,
      request,
      ...conditional,
      perform: (key, context) => rows.remove(key, context),
    }),
  }
}

function createWriting({ rows, noun, schema, input, patch, conditional }: Parts, maxMany: number) {
  const { request, path } = rows
  const changing = ({ properties }: TObject) =>
    Type.Object({ ...properties, ...request.properties })
  return {
    create: defineResource({
      summary: `Add one ${noun}`,
      method: 'POST',
      status: 201,
      request: input,
      response: schema,
      perform: (row, { db }) => rows.create(db, row),
    }),
    createMany: defineResource({
      summary: `Add many at once: ${noun}`,
      description: 'All or none. Answers with their keys, in the order of the request.',
      method: 'POST',
      path: '/bulk',
      status: 201,
      request: Type.Array(input, { minItems: 1, maxItems: maxMany }),
      response: Type.Array(request),
      perform: (list, { db }) => rows.createMany(db, list),
    }),
    replace: defineResource({
      summary: `Replace one ${noun}`,
      method: 'PUT',
      path,
      request: changing(input),
      response: schema,
      ...conditional,
      perform: (row, context) => rows.replace(row, context),
    }),
    update: defineResource({
      summary: `Change some fields of one ${noun}`,
      method: 'PATCH',
      path,
      request: changing(patch),
      response: schema,
      ...conditional,
      perform: (row, context) => rows.update(row, context),
    }),
  }
}
