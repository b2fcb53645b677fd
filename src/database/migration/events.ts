import type { Direction } from './task.ts'

/** A migration that was applied or taken back. */
export interface MigrationResult {
  name: string
  direction: Direction
  duration_ms: number
}

/** What happens while migrations run. */
export type MigrationEvent =
  /** It is applied, and its file has got another number since. */
  | { type: 'renumbered'; name: string; from: string }
  | { type: 'start'; name: string; direction: Direction }
  /** It was interrupted: `position` of its steps have happened. */
  | { type: 'resume'; name: string; direction: Direction; position: number }
  | ({ type: 'done' } & MigrationResult)
  /** Another process migrates this database; `holder` is `null` where it has not said who it is. */
  | { type: 'wait'; holder: string | null; since: string | null }

export type OnMigration = (event: MigrationEvent) => void
