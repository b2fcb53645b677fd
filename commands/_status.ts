import type { MigrationStatus } from '../src/database/migration/migrator.ts'
import { migratorOf, withDatabaseOf } from './_app.ts'
import { formatTable } from './_print.ts'
import { loadService } from './_service.ts'

/**
 * Lists the migrations of the service that the script belongs to. Apart from its command, because it is asked for often (by probes, before a
 * deployment), and does without oclif where it has no flags.
 *
 * @throws {PlinthError} DATABASE_MISSING, and what `createApp` throws
 */
export async function listMigrations(
  script: string,
  say = (line: string) => console.log(line),
): Promise<MigrationStatus[]> {
  return await withDatabaseOf(await loadService(script), async ({ db }, loaded) => {
    const status = await (await migratorOf(db, loaded)).status()
    const rows = status.map(({ name, state, applied_at }) => [state, name, applied_at ?? ''])
    say(rows.length > 0 ? formatTable(rows) : 'there are no migrations')
    for (const one of status) if (one.remedy) console.error(interrupted(one))
    return status
  })
}

function interrupted({ name, direction, position, remedy }: MigrationStatus): string {
  const was = direction === 'up' ? 'applied' : 'taken back'
  return `${name} is being ${was}, or that was interrupted; ${position} of its statements have happened for sure. If no process is at it, ${remedy}`
}
