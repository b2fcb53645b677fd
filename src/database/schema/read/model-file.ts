import { PlinthError } from '../../../errors.ts'
import { isInteger } from '../../model/check-column.ts'
import { assertModels } from '../../model/check-models.ts'
import type { Model } from '../../model/model.ts'
import type { DialectName, SchemaState } from '../state.ts'
import type { ReadSchema } from './assemble.ts'
import { type ModelSource, modelSource } from './model-source.ts'

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
  }
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
