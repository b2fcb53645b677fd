import type { TSchema } from 'typebox'
import { PlinthError } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import type { ReadSchema } from '../dialect/table-draft.ts'
import { assertModels } from '../model/check-models.ts'
import { defineModel } from '../model/define.ts'
import type { Model } from '../model/model.ts'
import { Call, print } from '../print.ts'
import { foreignKeyName, indexName, uniqueName } from '../schema/names.ts'
import type {
  ColumnState,
  ForeignKeyState,
  IndexState,
  SchemaState,
  TableState,
} from '../schema/state.ts'
import { type DialectName, isInteger } from '../schema/types.ts'
import { columnSource, type Piece } from './column-writer.ts'
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
  const tables = Object.entries(schema).map(([name, table]) => {
    const columns = Object.entries(table.columns).map(([column, state]) => {
      const type = state.generated && typeReferring(schema, name, column)
      return [column, type ? { ...state, type } : state]
    })
    return [name, { ...table, columns: Object.fromEntries(columns) }]
  })
  return Object.fromEntries(tables)
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
  const columns = Object.fromEntries(
    Object.entries(state.columns).map(([name, column]) => [
      name,
      columnSource(isInKey(name, state) ? fitForKey(column) : column),
    ]),
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
  columns: Readonly<Record<string, Piece<TSchema>>>,
  rest: object,
  dialect: DialectName,
): Pick<ModelSource, 'notes' | 'state' | 'model'> {
  const schemas = Object.entries(columns).map(([name, { value }]) => [name, value])
  try {
    const model = defineModel(table, { columns: Object.fromEntries(schemas), ...rest })
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
  const { primaryKey, indexes = [], unique = [] } = state
  return [primaryKey, ...[...indexes, ...unique].map(({ columns }) => columns)]
    .flat()
    .includes(name)
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
