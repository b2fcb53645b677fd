import type { FastifyInstance } from 'fastify'
import type { TObject, TSchema } from 'typebox'
import { AuditLog, secretsOf } from '../crud/change-log.ts'
import { defineList } from '../crud/list.ts'
import { fieldsOf } from '../crud/model-fields.ts'
import { modelResources, type OfModel, ofModel } from '../crud/model-resources.ts'
import { ModelRows } from '../crud/model-rows.ts'
import type { Values } from '../crud/model-write.ts'
import { partsOf } from '../database/model/schemas.ts'
import type { Model } from '../database/model/types.ts'
import type { Database } from '../database/types.ts'
import { type Access, PUBLIC } from '../resource/access.ts'
import type { AnyDefined, RowScope } from '../resource/contract.ts'
import type { Listing } from '../resource/registry.ts'
import type { AnyResource } from '../resource/resource.ts'

const ACTIONS = ['create', 'update', 'remove'] as const

export type AdminAction = (typeof ACTIONS)[number]

/** What a service says of one table. */
export interface AdminTable {
  /**
   * The resource that adds a row; `false`: nobody adds one here. Default: that of `modelResources` in the modules of the service; where
   * these have none of the table, one that `modelResources` makes.
   */
  create?: AnyResource | false
  /** The same that changes one: its request is the key, and columns that may be left out. */
  update?: AnyResource | false
  /** The same that deletes one: its request is the key. */
  remove?: AnyResource | false
  /** Columns that are not there, beside those that are secret and those that `modelResources` hide. */
  hidden?: readonly string[]
  /** The columns of text that a search looks into; default: all that the list shows. */
  search?: readonly string[]
  /** The column that tells people which row it is; default: `name`, `title` or `label`, else the first short text. */
  label?: string
}

/** A resource that is called, and what is decided of who may. */
export interface Called {
  readonly resource: AnyDefined
  readonly name: string
  readonly access: Access
}

/** One that changes rows. */
export interface Write extends Called {
  /** What it takes, but for what is hidden. */
  readonly fields: readonly Field[]
}

interface Page {
  readonly results: readonly Values[]
  readonly has_more: boolean
  readonly total?: number
}

/** A table, as the admin has it. */
export interface AdminModel {
  readonly model: Model
  /** The columns of a row, and those of a row in the list. */
  readonly shown: readonly string[]
  readonly listed: readonly string[]
  readonly label: string
  readonly isSearched: boolean
  readonly list: {
    readonly request: TObject
    paginate(db: Database, input: Values): Promise<Page>
  }
  readonly rows: ModelRows
  /** What modules read it by: who may not call these sees nothing of it. */
  readonly reads: Readonly<Record<'list' | 'retrieve', readonly Called[]>>
  readonly writes: Readonly<Partial<Record<AdminAction, Write>>>
}

/** What a column is to people. */
export interface Field {
  readonly name: string
  readonly kind: 'boolean' | 'date' | 'integer' | 'json' | 'long' | 'number' | 'text' | 'time'
  readonly nullable: boolean
  readonly required: boolean
  readonly description?: string
  /** The only texts that it may have. */
  readonly options?: readonly string[]
  readonly default?: unknown
  /** Whether it is never shown: it is said anew, or stays. */
  readonly secret?: true
  /** The table that it refers to, where that is one of these. */
  readonly to?: string
}

/** The tables by name; what modules serve counts, so not before the app is ready. */
export function adminTables(
  app: FastifyInstance,
  models: readonly Model[],
  settings: Readonly<Record<string, AdminTable | false>>,
): ReadonlyMap<string, AdminModel> {
  const served = app.hasDecorator('registry')
    ? Array.from(app.registry.listings(), (listing) => ({
        listing,
        of: ofModel(listing.entry.resource),
      }))
    : []
  const entries = models.flatMap((model): [string, AdminModel][] => {
    const given = settings[model.table] ?? {}
    if (given === false) return []
    const own = served.filter((one): one is Served => one.of?.model.table === model.table)
    const made = createTable(app, model, own, given)
    return made ? [[model.table, made]] : []
  })
  return new Map(entries)
}

interface Served {
  readonly listing: Listing
  readonly of: OfModel
}

/** `undefined` where its key is not to be seen. */
function createTable(
  app: FastifyInstance,
  model: Model,
  served: readonly Served[],
  given: AdminTable,
): AdminModel | undefined {
  const { table, state } = model
  const secrets = secretsOf(model)
  const hidden = new Set([
    ...served.flatMap(({ of }) => of.fields.hidden),
    ...(given.hidden ?? []),
    ...model.columns.filter((name) => state.columns[name]?.type === 'blob'),
  ])
  const unseen = new Set([
    ...hidden,
    ...served.flatMap(({ of }) => of.fields.writeOnly),
    ...secrets,
  ])
  if (state.primaryKey.some((name) => unseen.has(name))) return undefined
  const lists = { hidden: [...unseen] }
  const fields = fieldsOf(model, { lists, filled: [], version: undefined, creates: false })
  const scope = allOf(served.flatMap(({ of }) => of.scope ?? []))
  const shown = Object.keys(fields.shown.properties)
  const listed = shown.filter((name) => state.primaryKey.includes(name) || isShort(model, name))
  const called = callsOf(app, model, served, given, { hidden, secrets })
  const writes = called.map(([action, one]): [AdminAction, Write] => {
    const fields = fieldsIn(model, one.resource.request, hidden, unseen)
    return [action, { ...one, fields }]
  })
  const reading = (action: string) =>
    served.filter(({ of }) => of.action === action).map(({ listing }) => calledOf(listing))
  const search =
    given.search ??
    listed.filter((name) => kindOf(model, name) === 'text' && !state.columns[name]?.values)
  return {
    model,
    shown,
    listed,
    label: given.label ?? labelOf(model, listed),
    isSearched: search.length > 0,
    list: createList(model, listed, search, scope),
    rows: new ModelRows(model, { noun: table.replaceAll('_', ' '), scope, fields }),
    reads: { list: reading('list'), retrieve: reading('retrieve') },
    writes: Object.fromEntries(writes),
  }
}

function calledOf({ name, entry, access = PUBLIC }: Listing): Called {
  return { name, resource: entry.resource, access }
}

/** The rows that each of `scopes` has: several modules may serve one table. */
function allOf(scopes: readonly RowScope[]): RowScope | undefined {
  if (scopes.length === 0) return undefined
  return (context, query) => scopes.reduce((rows, scope) => scope(context, rows), query)
}

/** What changes its rows: as the service says here, as its modules have it, or made for it. */
function callsOf(
  app: FastifyInstance,
  model: Model,
  served: readonly Served[],
  given: AdminTable,
  columns: { hidden: ReadonlySet<string>; secrets: readonly string[] },
): [AdminAction, Called][] {
  // Nobody changes what was written down.
  if (model.table === AuditLog.table) return []
  const made = served.length === 0 ? makeWrites(model, columns) : {}
  return ACTIONS.flatMap((action): [AdminAction, Called][] => {
    const said = given[action]
    if (said === false) return []
    const found = served.find(({ of }) => of.action === action)
    if (said) {
      const { name, access = PUBLIC } = app.registry.of(said)
      return [[action, { name, access, resource: said }]]
    }
    if (found) return [[action, calledOf(found.listing)]]
    const resource = made[action]
    const name = `admin.${model.table}.${action}`
    return resource ? [[action, { name, resource, access: PUBLIC }]] : []
  })
}

/** The resources of a table that no module serves so. */
function makeWrites(
  model: Model,
  columns: { hidden: ReadonlySet<string>; secrets: readonly string[] },
): Partial<Record<AdminAction, AnyDefined>> {
  const { properties, required = [] }: Pick<Properties, 'properties'> & Partial<Properties> =
    model.input
  const writeOnly = columns.secrets.filter(
    (name) => name in properties && !columns.hidden.has(name),
  )
  const hidden = [...new Set([...columns.hidden, ...columns.secrets])].filter(
    (name) => !writeOnly.includes(name),
  )
  // A new row cannot do without what nobody may say.
  const creates = !required.some((name) => hidden.includes(name))
  const only = ACTIONS.filter((action) => creates || action !== 'create')
  return modelResources(model as never, { only, fields: { hidden, writeOnly } } as never)
}

const WIDE = 500

/** Whether a column is for lists, in which nobody reads pages of text. */
function isShort(model: Model, name: string): boolean {
  const { type } = model.state.columns[name] ?? {}
  const length = typeof type === 'string' ? /^varchar\((\d+)\)$/.exec(type)?.[1] : undefined
  return !['json', 'long'].includes(kindOf(model, name)) && Number(length ?? 0) <= WIDE
}

function labelOf({ state }: Model, listed: readonly string[]): string {
  const isText = (name: string) => {
    const { type } = state.columns[name] ?? {}
    return typeof type === 'string' && /char/.test(type)
  }
  const named = ['name', 'title', 'label'].find((name) => listed.includes(name))
  const first = listed.find((name) => isText(name) && !state.primaryKey.includes(name))
  return named ?? first ?? (state.primaryKey[0] as string)
}

function createList(
  model: Model,
  listed: readonly string[],
  search: readonly string[],
  scope: RowScope | undefined,
): AdminModel['list'] {
  const { table, state, schema } = model
  const row = { ...schema, properties: pickSchemas(schema, listed) }
  const filters = listed.flatMap((name) =>
    operatorsOf(model, name).map((operator) => [
      `${operator}_${name}`,
      { column: name, operator: OPERATORS[operator] },
    ]),
  )
  return defineList(
    row as TObject,
    {
      from: (db: never) => (db as { selectFrom: Select }).selectFrom(table).select(listed),
      order: listed,
      key: state.primaryKey,
      search,
      filters: Object.fromEntries(filters),
      count: 'optional',
      pageSize: 50,
      maxPageSize: 200,
      maxDepth: 1_000_000,
      ...(scope && { scope }),
    } as never,
  ) as never
}

type Select = (table: string) => { select(columns: readonly string[]): unknown }

function pickSchemas({ properties }: TObject, names: readonly string[]): Record<string, TSchema> {
  return Object.fromEntries(names.map((name) => [name, properties[name] as TSchema]))
}

const OPERATORS = { is: 'equals', has: 'contains', from: 'from', to: 'to' } as const

/** How a column can be asked for: `is_country`, `has_name`, `from_population`. */
export function operatorsOf(model: Model, name: string): readonly (keyof typeof OPERATORS)[] {
  const { type } = model.state.columns[name] ?? {}
  // Compared as texts, 9 would be more than 10.
  if (typeof type === 'string' && type.startsWith('decimal')) return []
  switch (kindOf(model, name)) {
    case 'text':
      return ['is', 'has']
    case 'boolean':
      return ['is']
    case 'json':
    case 'long':
      return []
    default:
      return ['is', 'from', 'to']
  }
}

function kindOf({ schema, state }: Model, name: string): Field['kind'] {
  return kindIn(schema.properties[name] as TSchema, state.columns[name]?.type === 'text')
}

function kindIn(schema: TSchema, isLong: boolean): Field['kind'] {
  const { core } = partsOf(schema)
  const { type, format, maxLength, enum: values, anyOf, const: only } = core as Keywords
  if (values || anyOf?.every((one) => typeof one.const === 'string') || only !== undefined)
    return 'text'
  if (type === 'boolean' || type === 'integer' || type === 'number') return type
  if (type !== 'string') return 'json'
  if (format === 'date-time') return 'time'
  if (format === 'date') return 'date'
  return isLong || (maxLength ?? 0) > WIDE ? 'long' : 'text'
}

interface Keywords {
  type?: string
  format?: string
  maxLength?: number
  enum?: readonly unknown[]
  anyOf?: readonly { const?: unknown }[]
  const?: unknown
  description?: string
  default?: unknown
}

interface Properties {
  readonly properties: Readonly<Record<string, TSchema>>
  readonly required: readonly string[]
}

/** What a resource takes, but for what is hidden. */
function fieldsIn(
  model: Model,
  { properties = {}, required = [] }: Partial<Properties>,
  hidden: ReadonlySet<string>,
  unseen: ReadonlySet<string>,
): Field[] {
  return Object.entries(properties)
    .filter(([name]) => !hidden.has(name))
    .map(([name, schema]) => ({
      ...describeField(model, name, schema),
      required: required.includes(name),
      ...(unseen.has(name) && { secret: true as const }),
    }))
}

/** What a column is to people, by the schema that it has in a row or in a request. */
export function describeField({ state }: Model, name: string, schema: TSchema): Field {
  const { core, nullable } = partsOf(schema)
  const { description, default: fallback } = { ...(core as Keywords), ...(schema as Keywords) }
  const column = state.columns[name]
  return {
    name,
    kind: kindIn(schema, column?.type === 'text'),
    nullable,
    required: false,
    ...(description !== undefined && { description }),
    ...(column?.values && { options: column.values }),
    ...(fallback !== undefined && { default: fallback }),
  }
}
