import type { NumberedFile } from '../numbered.ts'
import type { SchemaState } from '../schema/state.ts'

// What is known of migrations before they are loaded; apart from loading them, which needs the records.

/** A migration as it is recorded, whether its file is there or not. */
export interface Recordable {
  readonly name: string
  readonly checksum: string
}

/** A file of `migrations/` that has not been loaded. */
export interface MigrationFile extends NumberedFile {
  /** SHA-256 of its text, in hexadecimal; the ends of its lines do not count. */
  checksum: string
  /** Of a squash: what it stands for. */
  replaces?: readonly Recordable[] | undefined
  /** Of a squash: whether the files of all that are there. */
  isComplete?: boolean
  /** Where it is no file, but the first migrations in one step. */
  start?: Start
}

/** The first migrations, to be applied to an empty database in one step. */
export interface Start {
  readonly parts: readonly MigrationFile[]
  /** Where they lead to, as `schema.json` has it; `undefined`: to be found out, because it has what others behind them do, too. */
  readonly tables: SchemaState | undefined
}

/** A migration that is applied. */
export interface MigrationRecord {
  name: string
  checksum: string
  /** ISO 8601. */
  applied_at: string
  duration_ms: number
  /** Whether it is being taken back: what has happened of that the journal knows. */
  underWay: boolean
}
