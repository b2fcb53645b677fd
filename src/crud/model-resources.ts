import {
  type TArray,
  type TNull,
  type TObject,
  type TProperties,
  type TSchema,
  type TUnsafe,
  Type,
} from 'typebox'
import { partsOf } from '../database/model/schemas.ts'
import type {
  AuditColumn,
  Core,
  InputProperties,
  Model,
  ModelOf,
  PatchProperties,
  RowProperties,
} from '../database/model/types.ts'
import { errors } from '../errors.ts'
import type { Context, User } from '../resource/context.ts'
import type { AnyDefined, RowScope } from '../resource/contract.ts'
import { defineResource, type Resource } from '../resource/resource.ts'
import type { ByteAnswer } from '../resource/stream.ts'
import type { Value } from '../schema/value.ts'
import type {
  Counting,
  Filter,
  FilterProperties,
  ListedRow,
  ListOptions,
  PageParameters,
  PageSchema,
  Paging,
  SearchParameter,
  UsualCount,
} from './list.ts'
import {
  type ActionSettings,
  type ModelAccess,
  type ModelAction,
  settingsByAction,
} from './model-access.ts'
import { type FieldLists, fieldsOf, type ModelFields } from './model-fields.ts'
import { createModelLists, type FormatParameter } from './model-list.ts'
import { type Fill, ModelRows } from './model-rows.ts'
import type { Values } from './model-write.ts'
import { scopeOf } from './scope.ts'

export interface ModelResourcesOptions<
  M extends Model,
  Whole extends TProperties,
  Row extends TProperties,
  Filters,
  Search extends readonly (keyof Row & string)[],
  Fields extends readonly (keyof Row & string)[],
  Only extends Chosen,
  Exporting extends boolean,
  Count extends Counting,
  Pages extends Paging,
  Version extends keyof Whole & string,
  Hidden extends keyof Whole & string,
  ReadOnly extends keyof Whole & string,
  WriteOnly extends keyof Whole & string,
  Filled extends keyof Whole & string,
  Within extends keyof Whole & string,
> extends ModelAccess<M> {
  /**
   * The columns that say of what a row is part, which the prefix of the module has as parameters: `['project']` of
   * `/projects/:project/tasks`. Every request says them, rows of another are not there, and none is moved there. There is no `createMany` then.
   */
  within?: readonly Within[]
  /** Which columns clients see and say. */
  fields?: FieldLists<Hidden, ReadOnly, WriteOnly>
  /**
   * What columns of every new row are, whatever its client says: `{ customer: ({ user }) => user.id }`. They are read-only. For
   * nobody it is 401.
   */
  fill?: {
    readonly [Name in Filled]: (context: Context & { readonly user: User }) => Value<Whole[Name]>
  }
  /**
   * What tells one state of a row from another. A row has an `ETag` made of it, and of several PUT, PATCH or DELETE at once with the
   * same `If-Match` one wins, and the others are 412. A column of integers begins at 1, and every change made here raises it;
   * `updated_at` does not tell two changes within one millisecond apart. Default: `updated_at` where `audit` has it and clients see
   * it, else all that clients see of the row. `false`: rows have no `ETag`, and conditions do not count.
   */
  version?: Version | false
  /** Whether a PUT, PATCH or DELETE has to say with `If-Match` which state it changes; it is 428 where it does not. Default false. */
  requireMatch?: boolean
  /** What may be filtered, searched and ordered by; without `order`: by the primary key. */
  list?: Omit<
    ListOptions<keyof Row & string, Filters, Search, Fields, Count, Pages>,
    'from' | 'scope' | 'key' | 'order' | 'required'
  > &
    Partial<Pick<ListOptions<NoInfer<keyof Row & string>, Filters>, 'order'>>
  /** Which resources there are, beside `export`; default: all. */
  only?: readonly Only[]
  /**
   * Whether there is `export`, which answers with all rows that the list would have, as CSV, NDJSON or JSON: by the same filters and
   * scope, without what is hidden, for whom the list is. Default false.
   */
  export?: Exporting
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
  Export extends TProperties,
  Listed extends TProperties,
  Count extends Counting,
  Pages extends Paging,
  Within extends string,
> {
  list: Resource<TObject<Query>, PageSchema<TObject<Listed>, Count, Pages>>
  export: Resource<TObject<Export>, TUnsafe<ByteAnswer>>
  retrieve: Resource<TObject<Keyed<Row, Key | Within>>, TObject<Row>>
  create: Resource<TObject<Input>, TObject<Row>>
  createMany: Resource<TArray<TObject<Input>>, TArray<TObject<Keyed<Row, Key>>>>
  replace: Resource<TObject<Keyed<Row, Key> & Omit<Input, Key>>, TObject<Row>>
  update: Resource<TObject<Keyed<Row, Key> & Omit<Patch, Key>>, TObject<Row>>
  remove: Resource<TObject<Keyed<Row, Key | Within>>, TNull>
}

/** The columns of what a row is part of, as requests have them. */
type Around<Row extends TProperties, Within extends keyof Row> = {
  [Name in Within]: Core<Row[Name]>
}

/** What `only` may name. */
type Chosen = Exclude<ModelAction, 'export'>

/** The resources that there are where a request is always of one thing. */
type Those<Only, Within> = [Within] extends [never] ? Only : Exclude<Only, 'createMany'>

/** The columns of a row that clients see. */
type Shown<Columns extends TProperties, Audit extends AuditColumn, Unseen extends string> = Omit<
  RowProperties<Columns, Audit>,
  Unseen
>

type Keyed<Row extends TProperties, Key extends string> = Pick<Row, Key & keyof Row>

/**
 * Makes the usual resources of a model: ordinary ones, to be spread into a module and replaced one by one.
 * `defineModule({ prefix: '/cities', resources: { ...modelResources(City), list: own } })`
 *
 * @throws {PlinthError} RESOURCE_INVALID where a filter has the name of a parameter of every list, `version` is no number, `requireMatch`
 *   has nothing to match, or `fields` cannot be meant so
 */
export function modelResources<
  Table extends string,
  Columns extends TProperties,
  Generated extends string,
  Audit extends AuditColumn,
  SoftDelete extends boolean,
  Key extends string,
  const Filters extends Record<
    string,
    Filter<keyof Shown<Columns, Audit, Hidden | WriteOnly> & string>
  > = Record<never, never>,
  const Search extends readonly (keyof Shown<Columns, Audit, Hidden | WriteOnly> &
    string)[] = readonly [],
  const Fields extends readonly (keyof Shown<Columns, Audit, Hidden | WriteOnly> &
    string)[] = readonly [],
  const Only extends Chosen = Chosen,
  const Exporting extends boolean = false,
  const Pages extends Paging = 'numbers',
  const Count extends Counting = UsualCount<Pages>,
  const Version extends keyof RowProperties<Columns, Audit> & string = never,
  const Hidden extends keyof RowProperties<Columns, Audit> & string = never,
  const ReadOnly extends keyof RowProperties<Columns, Audit> & string = never,
  const WriteOnly extends keyof RowProperties<Columns, Audit> & string = never,
  const Filled extends keyof RowProperties<Columns, Audit> & string = never,
  const Within extends keyof RowProperties<Columns, Audit> & string = never,
>(
  model: ModelOf<Table, Columns, Generated, Audit, SoftDelete, Key>,
  options: ModelResourcesOptions<
    ModelOf<Table, Columns, Generated, Audit, SoftDelete, Key>,
    RowProperties<Columns, Audit>,
    Shown<Columns, Audit, Hidden | WriteOnly>,
    Filters,
    Search,
    Fields,
    Only,
    Exporting,
    Count,
    Pages,
    Version,
    Hidden,
    ReadOnly,
    WriteOnly,
    Filled,
    Within
  > = {},
): Pick<
  ModelResources<
    Shown<Columns, Audit, Hidden | WriteOnly>,
    Omit<InputProperties<Columns, Generated>, Version | Hidden | ReadOnly | Filled | Within> &
      Around<RowProperties<Columns, Audit>, Within>,
    Omit<PatchProperties<Columns, Generated>, Version | Hidden | ReadOnly | Filled | Within> &
      Around<RowProperties<Columns, Audit>, Within>,
    Key,
    FilterProperties<Shown<Columns, Audit, Hidden | WriteOnly>, Filters> &
      Around<RowProperties<Columns, Audit>, Within> &
      PageParameters<Search, Fields, Count, Pages>,
    FilterProperties<Shown<Columns, Audit, Hidden | WriteOnly>, Filters> &
      Around<RowProperties<Columns, Audit>, Within> &
      SearchParameter<Search> & { format: FormatParameter },
    ListedRow<Shown<Columns, Audit, Hidden | WriteOnly>, Fields>,
    Count,
    Pages,
    Within
  >,
  Those<Only, Within> | (Exporting extends true ? 'export' : never)
> {
  const { only, noun = model.table.replaceAll('_', ' '), maxMany = 1000, list = {} } = options
  const { version: given, requireMatch = false, fill = {}, fields: lists = {} } = options
  const { within = [], export: exports = false } = options
  if (given) assertVersion(model, given)
  if (requireMatch && given === false)
    throw errors.RESOURCE_INVALID(
      `of ${model.table}`,
      'it has requireMatch, and no version to match',
    )
  const version = given || undefined
  const scope = options.scope && scopeOf(model, options.scope)
  const creates = !only || only.some((name) => name === 'create' || name === 'createMany')
  const filled = [...Object.keys(fill), ...within]
  const fields = fieldsOf(model, { lists, filled, version, creates })
  const around = aroundOf(model, fields, within)
  const rows = new ModelRows(model, {
    ...{ noun, scope, fields, requireMatch, within: around },
    version: version ?? usualVersion(model, lists),
    fill: fill as Fill,
  })
  const etag = (key: Values, context: Context) => rows.tagOf(key, context)
  const settings = settingsByAction(model.table, options, scope)
  const parts: Parts = {
    rows,
    noun,
    fields,
    around,
    ...(given !== false && { conditional: { etag } }),
    changing: requireMatch ? { errors: [errors.PRECONDITION_REQUIRED] } : {},
    settings,
  }
  const all = {
    ...createModelLists(model, fields.shown, noun, list as never, within, settings, exports),
    ...createReading(parts),
    ...createWriting(parts, maxMany),
  }
  for (const [action, resource] of Object.entries(all))
    made.set(resource, { model, action: action as ModelAction, scope, fields })
  const known = (Object.keys(all) as Chosen[]).filter(
    (name) => (within.length === 0 || name !== 'createMany') && (name as string) !== 'export',
  )
  const names: readonly Chosen[] = only ?? known
  const missing = names.find((name) => !known.includes(name))
  if (missing !== undefined)
    throw errors.RESOURCE_INVALID(
      `of ${model.table}`,
      `only names ${missing}; there are ${known.join(', ')}`,
    )
  const those: ModelAction[] = exports ? ['export', ...names] : [...names]
  return Object.fromEntries(those.map((name) => [name, all[name]])) as never
}

/** What a resource that is made here does to the rows of which model. */
export interface OfModel {
  readonly model: Model
  readonly action: ModelAction
  readonly scope: RowScope | undefined
  readonly fields: ModelFields
}

const made = new WeakMap<AnyDefined, OfModel>()

/** `undefined` where `modelResources` has not made it. */
export function ofModel(resource: AnyDefined): OfModel | undefined {
  return made.get(resource)
}

/** What the resources of a model are made of. */
interface Parts {
  rows: ModelRows
  noun: string
  fields: ModelFields
  /** What every request says. */
  around: TProperties
  /** What those of one row have where requests may have conditions. */
  conditional?: { etag: (key: Values, context: Context) => Promise<string | undefined> }
  /** What else those have that change one. */
  changing: { errors?: readonly { readonly code: string; readonly statusCode: number }[] }
  /** Who may do each, with which rows. */
  settings: ActionSettings
}

/** The schemas of columns that every request says. @throws {PlinthError} RESOURCE_INVALID */
function aroundOf(
  { table, schema }: Model,
  { shown }: ModelFields,
  within: readonly string[],
): TProperties {
  const unseen = within.find((name) => !(name in shown.properties))
  if (unseen !== undefined)
    throw errors.RESOURCE_INVALID(`of ${table}`, `within names ${unseen}, which no client sees`)
  return Object.fromEntries(
    within.map((name) => [name, partsOf(schema.properties[name] as TSchema).core]),
  )
}

function assertVersion({ table, state, audit }: Model, version: string): void {
  const isChange = version === 'updated_at' && audit.includes('updated_at')
  const { type } = state.columns[version] ?? {}
  if (isChange || type === 'integer' || type === 'bigint') return
  const problem = `its version is ${version}; expected a column of integers, or updated_at of audit`
  throw errors.RESOURCE_INVALID(`of ${table}`, problem)
}

/** The column that tells states of a row apart where nobody says which. */
function usualVersion({ audit }: Model, { hidden = [], writeOnly = [] }: FieldLists) {
  const isShown = ![...hidden, ...writeOnly].includes('updated_at')
  return audit.includes('updated_at') && isShown ? 'updated_at' : undefined
}

function createReading({ rows, noun, fields, conditional, changing, settings }: Parts) {
  const { request, path } = rows
  const { shown } = fields
  return {
    retrieve: defineResource({
      summary: `One ${noun}`,
      path,
      request,
      response: shown,
      ...conditional,
      ...settings.retrieve,
      perform: (key, context) => rows.retrieve(key, context),
    }),
    remove: defineResource({
      summary: `Delete one ${noun}`,
      method: 'DELETE',
      path,
      request,
      ...conditional,
      ...changing,
      ...settings.remove,
      perform: (key, context) => rows.remove(key, context),
    }),
  }
}

function createWriting(parts: Parts, maxMany: number) {
  const { rows, noun, fields, around, conditional, settings } = parts
  const { request, path } = rows
  const { shown, input, patch } = fields
  const keyed = ({ properties }: TObject) => Type.Object({ ...properties, ...request.properties })
  return {
    create: defineResource({
      summary: `Add one ${noun}`,
      method: 'POST',
      status: 201,
      request: Type.Object({ ...input.properties, ...around }),
      response: shown,
      ...settings.create,
      perform: (row, context) => rows.create(row, context),
    }),
    createMany: defineResource({
      summary: `Add many at once: ${noun}`,
      description: 'All or none. Answers with their keys, in the order of the request.',
      method: 'POST',
      path: '/bulk',
      status: 201,
      request: Type.Array(input, { minItems: 1, maxItems: maxMany }),
      response: Type.Array(request),
      ...settings.createMany,
      perform: (list, context) => rows.createMany(list, context),
    }),
    replace: defineResource({
      summary: `Replace one ${noun}`,
      method: 'PUT',
      path,
      request: keyed(input),
      response: shown,
      ...conditional,
      ...parts.changing,
      ...settings.replace,
      perform: (row, context) => rows.replace(row, context),
    }),
    update: defineResource({
      summary: `Change some fields of one ${noun}`,
      method: 'PATCH',
      path,
      request: keyed(patch),
      response: shown,
      ...conditional,
      ...parts.changing,
      ...settings.update,
      perform: (row, context) => rows.update(row, context),
    }),
  }
}
