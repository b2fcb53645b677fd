import { checkName, foreignKeyName, uniqueName } from '../names.ts'
import { isText } from '../sql.ts'
import type { ColumnState, ReferenceAction } from '../state.ts'
import { type Draft, emptyDraft } from './assemble.ts'
import { readValues } from './checks.ts'
import type { CreateTable } from './create-table.ts'
import { readDefault } from './defaults.ts'
import type { Column, IndexColumn, KeyColumn } from './sqlite-catalogue.ts'
import { sqliteType } from './types-sqlite.ts'

/** One table of SQLite while it is being read. */
export class SqliteTable {
  readonly draft: Draft = emptyDraft()
  readonly #name: string
  readonly #text: CreateTable
  readonly #notes: string[]

  constructor(name: string, text: CreateTable, notes: string[]) {
    this.#name = name
    this.#text = text
    this.#notes = notes
    for (const extra of text.extras) this.#note(`${extra} is not kept`)
  }

  readColumns(columns: readonly Column[]): void {
    for (const column of columns) this.draft.columns[column.name] = this.#column(column)
    this.draft.primaryKey = columns
      .filter(({ pk }) => pk > 0)
      .toSorted((a, b) => a.pk - b.pk)
      .map(({ name }) => name)
    for (const { name, pk, notnull, type } of columns) {
      const isRowid = type.toLowerCase() === 'integer' && this.draft.primaryKey.length === 1
      const said = this.#text.columns.get(name.toLowerCase())
      if (pk === 0 || said?.autoincrement) continue
      if (isRowid && said?.primaryKey) {
        this.#note(`${name} is numbered by SQLite without autoincrement, which a model cannot say`)
      } else if (!isRowid && !notnull) {
        this.#note(`${name} is a primary key that SQLite lets be null; a model does not`)
      }
    }
  }

  #column({ name, type, notnull, default: text }: Column): ColumnState {
    const said = this.#text.columns.get(name.toLowerCase())
    const collate = said?.collate && said.collate.toLowerCase() !== 'binary'
    // pragma_table_xinfo has `generated always` in the type of a computed column.
    const declared = type.replace(/\s*generated always$/i, '')
    const isCase = said?.collate?.toLowerCase() === 'nocase' && !said.generated
    const ignoresCase = isCase && isText({ type: sqliteType(declared) })
    const own = collate && !ignoresCase && `collate ${said.collate}`
    const rest = [said?.generated, own].filter(Boolean).join(' ')
    const read = sqliteType(declared, rest)
    const value = text === null ? undefined : readDefault(text, read, 'sqlite')
    return {
      type: read,
      ...(!notnull && { nullable: true }),
      ...(value !== undefined && { default: value }),
      ...(ignoresCase && { comparison: 'ignoreCase' as const }),
      ...(said?.autoincrement && { generated: true }),
    }
  }

  readIndexes(columns: readonly IndexColumn[]): void {
    const indexes = Map.groupBy(columns, ({ index }) => index)
    for (const [name, parts] of indexes) {
      const [{ unique, origin, partial }] = parts as [IndexColumn]
      if (origin === 'pk') continue
      const what = partial
        ? 'has a condition'
        : (parts.map((part) => this.#oddity(part)).find(Boolean) ?? undefined)
      if (what) {
        this.#note(`the index ${name} ${what} and is left out`)
        continue
      }
      const names = parts.map(({ column }) => column as string)
      const own = origin === 'u' ? uniqueName(this.#name, names) : name
      this.draft[unique ? 'unique' : 'indexes'].push({ name: own, columns: names })
    }
  }

  #oddity({ column, desc, coll }: IndexColumn): string | undefined {
    if (column === null) return 'is on an expression'
    if (desc) return 'is descending'
    const own = this.#text.columns.get(column.toLowerCase())?.collate ?? 'binary'
    return coll?.toLowerCase() === own.toLowerCase() ? undefined : `has the collation ${coll}`
  }

  readForeignKeys(rows: readonly KeyColumn[], columns: Map<string, Column[]>): void {
    const keys = [...Map.groupBy(rows, ({ id }) => id).values()]
    for (const [index, parts] of keys.entries()) {
      const [{ target, onDelete, onUpdate }] = parts as [KeyColumn]
      const own = parts.map(({ from }) => from)
      const primaryKey = (columns.get(target) ?? [])
        .filter(({ pk }) => pk > 0)
        .toSorted((a, b) => a.pk - b.pk)
      const name = this.#text.foreignKeys[index] ?? foreignKeyName(this.#name, own)
      this.draft.foreignKeys.push({
        name,
        columns: own,
        table: target,
        references: parts.map(({ to }, i) => to ?? primaryKey[i]?.name ?? ''),
        ...this.#action('onDelete', name, onDelete),
        ...this.#action('onUpdate', name, onUpdate),
      })
    }
  }

  #action(key: 'onDelete' | 'onUpdate', name: string, action: string) {
    const lower = action.toLowerCase()
    if (lower === 'restrict') return {}
    if (lower !== 'set default') return { [key]: lower as ReferenceAction }
    this.#note(`the foreign key ${name} sets the default, which is read as no action`)
    return { [key]: 'no action' as const }
  }

  readChecks(): void {
    for (const { name, sql } of this.#text.checks) {
      const found = readValues(sql)
      const column = Object.keys(this.draft.columns).find(
        (column) => column.toLowerCase() === found?.column.toLowerCase(),
      )
      const state = column === undefined ? undefined : this.draft.columns[column]
      if (found && column !== undefined && state && !state.values) {
        this.draft.columns[column] = { ...state, values: found.values }
        if (name === checkName(this.#name, column)) continue
        this.#note(`the check of ${column} is read as its values and gets a name of its own`)
      } else {
        this.#note(`the check ${name ? `${name} ` : ''}(${sql}) is left out`)
      }
    }
  }

  #note(text: string): void {
    this.#notes.push(`${this.#name}: ${text}`)
  }
}
