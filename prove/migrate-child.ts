import { createMigrator, type MigrationEvent } from '../src/database/migration/migrator.ts'
import { PlinthError } from '../src/errors.ts'
import { withDatabase } from './migrations.ts'

// A process that migrates each database that its parent names, and says what it has applied.

export interface Order {
  url: string
  directory: string
}

/** That it has opened the database, and that the first migration starts. */
export type Notice = 'begun' | 'started'

export type Answer = { applied: string[] } | { failed: string }

process.on('message', async ({ url, directory }: Order) => {
  process.send?.(await migrate(url, directory))
})
process.on('disconnect', () => process.exit())
process.send?.('ready')

async function migrate(url: string, directory: string): Promise<Answer> {
  try {
    return await withDatabase(url, async (db) => {
      tell('begun')
      let started = false
      const on = ({ type }: MigrationEvent) => {
        if (type === 'start' && !started) tell('started')
        started ||= type === 'start'
      }
      const results = await createMigrator({ db, directory }).migrate({ lockTimeout: 120, on })
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
