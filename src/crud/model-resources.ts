import { type TArray, type TNull, type TObject, type TProperties, Type } from 'typebox'
import type {
  AuditColumn,
  InputProperties,
  Model,
  ModelOf,
  PatchProperties,
  RowProperties,
} from '../database/model/model.ts'
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
> {
  /** What may be filtered, searched and ordered by; without `order`: by the primary key. */
  list?: Omit<
    ListOptions<keyof Row & string, Filters, Search, Fields, Count>,
    'from' | 'key' | 'order'
  > &
    Partial<Pick<ListOptions<keyof Row & string, Filters>, 'order'>>
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
 * @throws {PlinthError} RESOURCE_INVALID where a filter has the name of a parameter of every list
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
>(
  model: ModelOf<string, Columns, Generated, Audit, SoftDelete, Key>,
  options: ModelResourcesOptions<
    RowProperties<Columns, Audit>,
    Filters,
    Search,
    Fields,
    Only,
    Count
  > = {},
): Pick<
  ModelResources<
    RowProperties<Columns, Audit>,
    InputProperties<Columns, Generated>,
    PatchProperties<Columns, Generated>,
    Key,
    FilterProperties<RowProperties<Columns, Audit>, Filters> &
      PageParameters<Search, Fields, Count>,
    ListedRow<RowProperties<Columns, Audit>, Fields>,
    Count
  >,
  Only
> {
  const { only, noun = model.table.replaceAll('_', ' '), maxMany = 1000, list = {} } = options
  const all = {
    list: createModelList(model, noun, list as never),
    ...createReading(model, noun),
    ...createWriting(model, noun, maxMany),
  }
  const names = only ?? (Object.keys(all) as Only[])
  return Object.fromEntries(names.map((name) => [name, all[name]])) as never
}

function createReading(model: Model, noun: string) {
  const rows = new ModelRows(model, noun)
  const { request, path } = rows
  return {
    retrieve: defineResource({
      summary: `One ${noun}`,
      path,
      request,
      response: model.schema,
      perform: (key, { db }) => rows.find(db, key),
    }),
    remove: defineResource({
      summary: `Delete one ${noun}`,
      method: 'DELETE',
      path,
      request,
      perform: (key, { db }) => rows.remove(db, key),
    }),
  }
}

function createWriting(model: Model, noun: string, maxMany: number) {
  const rows = new ModelRows(model, noun)
  const { request, path } = rows
  const changing = ({ properties }: TObject) =>
    Type.Object({ ...properties, ...request.properties })
  return {
    create: defineResource({
      summary: `Add one ${noun}`,
      method: 'POST',
      status: 201,
      request: model.input,
      response: model.schema,
      perform: (row, { db }) => rows.create(db, row),
    }),
    createMany: defineResource({
      summary: `Add many at once: ${noun}`,
      description: 'All or none. Answers with their keys, in the order of the request.',
      method: 'POST',
      path: '/bulk',
      status: 201,
      request: Type.Array(model.input, { minItems: 1, maxItems: maxMany }),
      response: Type.Array(request),
      perform: (list, { db }) => rows.createMany(db, list),
    }),
    replace: defineResource({
      summary: `Replace one ${noun}`,
      method: 'PUT',
      path,
      request: changing(model.input),
      response: model.schema,
      perform: (row, { db }) => rows.replace(db, row),
    }),
    update: defineResource({
      summary: `Change some fields of one ${noun}`,
      method: 'PATCH',
      path,
      request: changing(model.patch),
      response: model.schema,
      perform: (row, { db }) => rows.update(db, row),
    }),
  }
}
