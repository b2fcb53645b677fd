import { createMigrator, type MigrationEvent } from '../src/database/migration/migrator.ts'
import { PlinthError } from '../src/errors.ts'
import { withDatabase } from './migrations.ts'

// A process that migrates each database that its parent names, and says what it has applied or taken back.

export interface Order {
  url: string
  directory: string
  /** How many to take back; default: all that are pending are applied. */
  back?: number | undefined
}

/** That it has opened the database, and that the first migration starts. */
export type Notice = 'begun' | 'started'

export type Answer = { applied: string[] } | { failed: string }

process.on('message', async (order: Order) => {
  process.send?.(await migrate(order))
})
process.on('disconnect', () => process.exit())
process.send?.('ready')

async function migrate({ url, directory, back }: Order): Promise<Answer> {
  try {
    return await withDatabase(url, async (db) => {
      tell('begun')
      let started = false
      const on = ({ type }: MigrationEvent) => {
        if (type === 'start' && !started) tell('started')
        started ||= type === 'start'
      }
      const migrator = createMigrator({ db, directory })
      const options = { lockTimeout: 120, on }
      const results =
        back === undefined
          ? await migrator.migrate(options)
          : await migrator.rollback({ ...options, steps: back })
      return { applied: results.map(({ name }) => name) }
    })
  } catch (error) {
    const code = PlinthError.is(error) ? error.code : 'none'
    return { failed: `${code}: ${(error as Error).message}` }
  }
}

function tell(notice: Notice): void {
  process.send?.(notice)
}
