import type { TSchema } from 'typebox'
import { PlinthError } from '../../../errors.ts'
import { Call, print } from '../../migration/render/print.ts'
import { defineModel } from '../../model/define.ts'
import type { Model } from '../../model/model.ts'
import { foreignKeyName, indexName, uniqueName } from '../names.ts'
import type { ColumnState, DialectName, ForeignKeyState, IndexState, TableState } from '../state.ts'
import { columnSource } from './column-source.ts'
import { differences } from './differences.ts'
import type { Piece } from './source.ts'

/** A model that has been written from a table. */
export interface ModelSource {
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
  const generated = Object.keys(columns).filter((name) => columns[name]?.generated)
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
