import { type TSchema, Type } from 'typebox'
import { PlinthError } from '../../errors.ts'
import { isComputed, quoteText } from '../dialect/ddl.ts'
import type { ReadSchema } from '../dialect/introspect.ts'
import { tokenize } from '../dialect/sql-text.ts'
import { assertModels } from '../model/check.ts'
import { defineModel } from '../model/define.ts'
import { column, columnState, decimal, timestamp } from '../model/schemas.ts'
import type { Model } from '../model/types.ts'
import { Call, print } from '../print.ts'
import { foreignKeyName, indexName, uniqueName } from '../schema/names.ts'
import {
  type ColumnState,
  type ForeignKeyState,
  type IndexState,
  indexesOf,
  mapValues,
  type SchemaState,
  type TableState,
} from '../schema/state.ts'
import {
  charactersOf,
  type DialectName,
  describeType,
  isInteger,
  type PortableType,
} from '../schema/types.ts'
import { differences } from './differences.ts'

export interface ModelFile {
  /** Within the folder of the models: `city/model.ts`. */
  path: string
  text: string
}

/** The models of a schema, as the kit's operator gets them. */
export interface Inspected {
  /** All of them in one module. */
  text: string
  /** The same as a module each, and one that lists them. */
  files: ModelFile[]
  /** What the models do not say. */
  notes: string[]
  /** What a first migration has to make, so that models and migrations agree from the start. */
  tables: SchemaState
  /** What is to stay as it is, and what it is: what no schema can say, and tables that no model can. */
  unmanaged: Readonly<Record<string, string>>
}

/** Writes the models of a schema that `readSchema` has found. */
export function inspect(read: ReadSchema, dialect: DialectName): Inspected {
  const models = modelsOf(read, dialect)
  return {
    text: inOne(models, read),
    files: inFiles(models, read),
    notes: notesOf(models, read),
    // Without its model the next migration would drop the table.
    tables: Object.fromEntries(
      models.flatMap(({ table, state, model }) => (model ? [[table, state]] : [])),
    ),
    unmanaged: unmanagedOf(models, read),
  }
}

function unmanagedOf(
  models: readonly ModelSource[],
  { unmanaged }: ReadSchema,
): Readonly<Record<string, string>> {
  const tables = models.flatMap(({ table, state, model }) => {
    const why = state.primaryKey.length === 0 ? 'table without a primary key' : 'table'
    return model ? [] : [[table, why] as const]
  })
  const all = [...Object.entries(unmanaged), ...tables]
  return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function inOne(models: readonly ModelSource[], read: ReadSchema): string {
  const general = read.notes.filter((note) => !models.some(({ table }) => isAbout(note, table)))
  const parts = models.map((model) => withComments(model, read))
  return [importsOf(models), comments(general), ...parts, listOf(models)].filter(Boolean).join('\n')
}

function inFiles(models: readonly ModelSource[], read: ReadSchema): ModelFile[] {
  const files = models.map((model) => ({
    path: pathOf(model),
    text: [importsOf([model]), withComments(model, read)].join('\n'),
  }))
  const imports = models.map((model) => `import { ${model.name} } from './${pathOf(model)}'\n`)
  return [...files, { path: 'models.ts', text: [imports.join(''), listOf(models)].join('\n') }]
}

function modelsOf({ schema }: ReadSchema, dialect: DialectName): ModelSource[] {
  const tables = dialect === 'sqlite' ? withTypesOfKeys(schema) : schema
  return Object.entries(tables).map(([name, table]) => modelSource(name, table, dialect))
}

// SQLite numbers an `integer` only, whatever the model said, and what refers to it has kept the model's type.
function withTypesOfKeys(schema: SchemaState): SchemaState {
  return mapValues(schema, (table, name) => ({
    ...table,
    columns: mapValues(table.columns, (state, column) => {
      const type = state.generated && typeReferring(schema, name, column)
      return type ? { ...state, type } : state
    }),
  }))
}

function typeReferring(schema: SchemaState, table: string, column: string) {
  for (const { columns, foreignKeys = [] } of Object.values(schema)) {
    const key = foreignKeys.find((key) => key.table === table && key.references[0] === column)
    const type = key && columns[key.columns[0] ?? '']?.type
    if (type && isInteger(type)) return type
  }
  return undefined
}

// A table may be called `../x`.
const pathOf = ({ table }: ModelSource) => `${table.replace(/[^\p{L}\p{N}_-]+/gu, '_')}/model.ts`

const isAbout = (note: string, table: string) => note.startsWith(`${table}: `)

function notesOf(models: readonly ModelSource[], { notes }: ReadSchema): string[] {
  const own = models.flatMap(({ table, notes }) => notes.map((note) => `${table}: ${note}`))
  return [...notes, ...own, ...problemOf(models.flatMap(({ model }) => model ?? []))]
}

/** What the service would not start for, where models have to do with each other. */
function problemOf(models: readonly Model[]): string[] {
  try {
    assertModels(models)
    return []
  } catch (error) {
    if (!PlinthError.is(error)) throw error
    return [error.message]
  }
}

function withComments(model: ModelSource, { notes }: ReadSchema): string {
  const start = model.table.length + 2
  const own = notes.filter((note) => isAbout(note, model.table)).map((note) => note.slice(start))
  return comments([...own, ...model.notes]) + model.source
}

/** A line each, whatever line breaks are in them. */
function comments(notes: readonly string[]): string {
  return notes.map((note) => `// ${note.replace(/\s+/g, ' ')}\n`).join('')
}

function importsOf(models: readonly ModelSource[]): string {
  const code = models.map(({ source }) => source).join('')
  const names = ['column', 'decimal', 'timestamp'].filter((name) => code.includes(`${name}(`))
  return `import { ${[...names, 'defineModel', 'Type'].toSorted(byName).join(', ')} } from 'plinth'\n`
}

// As the formatter sorts imports.
const byName = (a: string, b: string) => a.localeCompare(b, 'en')

function listOf(models: readonly ModelSource[]): string {
  return `export const models = [${models.map(({ name }) => name).join(', ')}]\n`
}

/** A model that has been written from a table. */
interface ModelSource {
  table: string
  /** What its variable is called: `FilmActor`. */
  name: string
  /** `export const FilmActor = defineModel('film_actor', { … })` */
  source: string
  /** What it says otherwise than the table; the reason, where `defineModel` does not take it as it is. */
  notes: string[]
  /** The table, in the model's words where it takes it: what a first migration has to say. */
  state: TableState
  /** The model itself; missing where `defineModel` does not take it. */
  model?: Model
}

/** Writes the model of a table that `readSchema` has found. */
export function modelSource(table: string, state: TableState, dialect: DialectName): ModelSource {
  const columns = mapValues(state.columns, (column, name) =>
    columnSource(isInKey(name, state) ? fitForKey(column) : column),
  )
  const rest = restOf(table, state)
  const name = variableName(table)
  const model = new Call(`export const ${name} = defineModel`, [table, { columns, ...rest }])
  const source = `${print(model, 'typescript')}\n`
  return { table, name, source, ...check(table, state, columns, rest, dialect) }
}

/** Makes the model that was written, and compares it with its table. */
function check(
  table: string,
  state: TableState,
  columns: Readonly<Record<string, Call>>,
  rest: object,
  dialect: DialectName,
): Pick<ModelSource, 'notes' | 'state' | 'model'> {
  try {
    const schemas = mapValues(columns, schemaOf)
    const model = defineModel(table, { columns: schemas, ...rest })
    const lines = differences({ [table]: model.state }, { [table]: state }, dialect)
    const notes = lines.map(
      (line) => `the model differs: ${line.slice(table.length + 1).trimStart()}`,
    )
    return { notes, model, state: { ...state, columns: model.state.columns } }
  } catch (error) {
    if (!PlinthError.is(error)) throw error
    return { notes: [error.message], state }
  }
}

function isInKey(name: string, state: TableState): boolean {
  const keys = [state.primaryKey, ...indexesOf(state).map(({ columns }) => columns)]
  return keys.some((columns) => columns.includes(name))
}

// SQLite has keys of texts of any length; MySQL would not take the model.
function fitForKey(column: ColumnState): ColumnState {
  if (column.type !== 'text') return column
  return { ...column, type: { sqlite: 'text', mysql: 'varchar(255)' } }
}

/** What a model says beside its columns, as far as it has to be said. */
function restOf(table: string, state: TableState): Record<string, unknown> {
  const { columns, primaryKey, indexes = [], unique = [], foreignKeys = [] } = state
  const generated = Object.entries(columns)
    .filter(([, column]) => column.generated || isComputed(column))
    .map(([name]) => name)
  const implied = new Set(foreignKeys.map((key) => indexName(table, key.columns)))
  const own = indexes.filter(
    ({ name, columns }) => !(implied.has(name) && name === indexName(table, columns)),
  )
  const isUsual = primaryKey.join() === ('id' in columns ? 'id' : '')
  const all = {
    generated,
    primaryKey: isUsual ? [] : primaryKey,
    indexes: own.map((index) => indexSource(index, indexName(table, index.columns))),
    unique: unique.map((index) => indexSource(index, uniqueName(table, index.columns))),
    foreignKeys: foreignKeysSource(table, foreignKeys),
  }
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => Object.keys(value).length > 0),
  )
}

function indexSource({ name, columns }: IndexState, usual: string): unknown {
  return name === usual ? columns : { name, columns }
}

function foreignKeysSource(table: string, keys: readonly ForeignKeyState[]): object {
  const isShort = ({ name, columns, onDelete, onUpdate }: ForeignKeyState) =>
    columns.length === 1 && name === foreignKeyName(table, columns) && !onDelete && !onUpdate
  if (keys.every(isShort)) {
    const entries = keys.map((key) => [key.columns[0], `${key.table}.${key.references[0]}`])
    return Object.fromEntries(entries)
  }
  return keys.map(({ name, table: to, references, columns, ...actions }) => ({
    ...(name !== foreignKeyName(table, columns) && { name }),
    columns,
    references: [to, references],
    ...actions,
  }))
}

/** `film_actor` → `FilmActor` */
function variableName(table: string): string {
  const words = table.split(/[^\p{L}\p{N}]+/u).filter(Boolean)
  const name = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
  // Not what the module imports.
  return /^\p{L}/u.test(name) && name !== 'Type' ? name : `Table${name}`
}

// ---- columns

/** What makes a column, by the name that a model's file has for it. */
const MAKERS: Readonly<Record<string, unknown>> = {
  ...{ column, decimal, timestamp },
  'Type.Boolean': Type.Boolean,
  'Type.Enum': Type.Enum,
  'Type.Integer': Type.Integer,
  'Type.Number': Type.Number,
  'Type.Optional': Type.Optional,
  'Type.String': Type.String,
  'Type.Unknown': Type.Unknown,
}

const call = (name: string, ...args: readonly unknown[]) => new Call(name, args)

/** The schema that a call makes, of which an argument may be another one. */
function schemaOf({ name, args }: Call): TSchema {
  const make = MAKERS[name] as (...args: readonly unknown[]) => TSchema
  return make(...args.map((one) => (one instanceof Call ? schemaOf(one) : one)))
}

/** The schema that a model says a column with, as a call. What does not follow from it is said with `column`. */
function columnSource(state: ColumnState): Call {
  const { type, nullable, values, comparison } = state
  const core = values
    ? call('Type.Enum', [...values])
    : typeof type === 'string'
      ? ofType(type)
      : ofSql(type.mysql.toLowerCase(), type.mysql)
  const schema = nullable ? call('Type.Optional', core) : core
  const value = sayable(state)
  const made = schemaOf(core)
  const isOwn = typeof type === 'string' && columnState(made)?.type === type
  if (isOwn && value === undefined && !comparison) return schema
  // `column` forgets what another one has said.
  const isPlain = isOwn && !('~column' in made)
  return call('column', schema, {
    ...(!isPlain && { type }),
    ...(value !== undefined && { default: value }),
    ...(comparison && { comparison }),
  })
}

/** A default that a model takes: that of a text, a date or a number too large for JavaScript it wants in SQL. */
function sayable({ type, default: value }: ColumnState): ColumnState['default'] {
  if (typeof value !== 'string' || typeof type !== 'string') return value
  const known = describeType(type)
  if (known?.literal === 'number') return { mysql: value, sqlite: value }
  if (!known?.isLong && !known?.isTime) return value
  const mysql = quoteText(value, 'mysql')
  // MySQL takes an expression there, but no plain value.
  return { mysql: known.isLong ? `(${mysql})` : mysql, sqlite: quoteText(value, 'sqlite') }
}

/** `Type.Integer` with the bounds of so many bits. */
function integer(bits: number, unsigned = false): Call {
  const top = unsigned ? bits : bits - 1
  return call('Type.Integer', { minimum: unsigned ? 0 : -(2 ** top), maximum: 2 ** top - 1 })
}

const string = (options: { format?: string; maxLength?: number; pattern?: string } = {}) =>
  call('Type.String', ...(Object.keys(options).length > 0 ? [options] : []))

function ofType(type: PortableType): Call {
  const { name, size, scale, bits, format, isText } = describeType(type) ?? {}
  if (name === 'decimal') return call('decimal', size, scale)
  if (name === 'boolean') return call('Type.Boolean')
  if (name === 'double') return call('Type.Number')
  if (name === 'datetime') return call('timestamp')
  if (bits) return bits === 64 ? call('Type.Integer') : integer(bits)
  if (format) return string({ format })
  if (isText) return string(size ? { maxLength: size } : {})
  return call('Type.Unknown')
}

const BITS: Readonly<Record<string, number>> = { tiny: 8, small: 16, medium: 24, '': 32 }

// So many bytes, and a character has at least one: what is too long in bytes only is the server's to refuse.
const TEXTS: Readonly<Record<string, number>> = {
  tiny: 2 ** 8 - 1,
  '': 2 ** 16 - 1,
  medium: 2 ** 24 - 1,
}

const MAX_FLOAT = 3.402823466e38

// MySQL's TIME is a duration, too: up to 838 hours, either way.
const DURATION = '^-?([0-7]?\\d?\\d|8[0-2]\\d|83[0-8]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?$'

/** The nearest schema of a type that only a database knows. */
function ofSql(type: string, sql: string): Call {
  const unsigned = type.includes('unsigned')
  const whole = /^(tiny|small|medium|big|)int\b/.exec(type)?.[1]
  if (whole !== undefined) return ofWhole(whole, unsigned)
  // 0 is a year, too.
  if (/^year/.test(type)) return call('Type.Integer', { minimum: 0, maximum: 2155 })
  if (/^(float|double|real)/.test(type)) return ofFloat(type.startsWith('float'), unsigned)
  const values = /^(enum|set)\(/.test(type) ? valuesOf(sql) : []
  if (values.length > 0) return ofValues(values, type.startsWith('set'))
  if (/^(datetime|timestamp)/.test(type)) return ofType('datetime')
  const format = /^(date|uuid|inet4|inet6)\b/.exec(type)?.[1]
  if (format) return string({ format: format.replace('inet', 'ipv') })
  if (/^time\b/.test(type)) return string({ pattern: DURATION })
  const [decimals, precision = 0, scale = 0] =
    /^(?:decimal|numeric)\((\d+),(\d+)\)/.exec(type) ?? []
  if (decimals) return ofDecimal(Number(precision), Number(scale), unsigned)
  return ofText(type)
}

function ofWhole(size: string, unsigned: boolean): Call {
  if (size !== 'big') return integer(BITS[size] ?? 32, unsigned)
  return unsigned ? call('Type.Integer', { minimum: 0 }) : ofType('bigint')
}

function ofFloat(isSingle: boolean, unsigned: boolean): Call {
  const bounds = isSingle
    ? { minimum: unsigned ? 0 : -MAX_FLOAT, maximum: MAX_FLOAT }
    : unsigned && { minimum: 0 }
  return call('Type.Number', ...(bounds ? [bounds] : []))
}

function ofDecimal(precision: number, scale: number, unsigned: boolean): Call {
  if (!unsigned) return ofType(`decimal(${precision},${scale})`)
  const { pattern } = decimal(precision, scale) as { pattern?: string }
  return call('decimal', precision, scale, { pattern: String(pattern).replace('-?', '') })
}

/** One of the texts; of a set any of them, joined by commas. */
function ofValues(values: readonly string[], isSet: boolean): Call {
  const one = `(?:${values.map(escaped).join('|')})`
  return string({ pattern: isSet ? `^(?:${one}(?:,${one})*)?$` : `^${one}$` })
}

function valuesOf(sql: string): string[] {
  const tokens = tokenize(sql, 'mysql')
  return tokens.filter(({ kind }) => kind === 'string').map(({ text }) => text)
}

function ofText(type: string): Call {
  const size = /^(?:var)?char\((\d+)\)/.exec(type)?.[1]
  const long = /^(tiny|medium|)text\b/.exec(type)?.[1]
  if (!size && !/^(decimal|numeric|.*text)/.test(type)) return call('Type.Unknown')
  const maxLength = size ? Number(size) : TEXTS[long ?? 'long']
  const pattern = charactersOf({ mysql: type, sqlite: type })
  return string({
    ...(maxLength !== undefined && { maxLength }),
    ...(pattern !== undefined && { pattern }),
  })
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
