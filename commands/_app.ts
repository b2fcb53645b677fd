import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { SlowLog } from '../src/database/dialect/driver.ts'
import type { Migrator } from '../src/database/migration/migrator.ts'
import type { Database } from '../src/database/types.ts'
import type { AppOptions } from '../src/service.ts'
import type { ServiceDatabase } from '../src/service-database.ts'
import type { LoadedService } from './_service.ts'

// What commands do with the app of a service, without oclif: loading that takes as long as a small command does altogether.

type Work<T, With = FastifyInstance> = (app: With, loaded: LoadedService) => Promise<T>

/** Runs `work` with the app of a service, ready but not listening, and closes it whatever happens. */
export async function withAppOf<T>(
  loaded: LoadedService,
  work: Work<T>,
  options: AppOptions = {},
): Promise<T> {
  const { createApp } = await import('../src/service.ts')
  const app = (await createApp(loaded.service, {
    root: loaded.root,
    logger: await logSettings(loaded),
    ...options,
  })) as unknown as FastifyInstance
  try {
    await app.ready()
    return await work(app, loaded)
  } finally {
    await app.close()
  }
}

/** What is wrong goes to stderr: stdout is for the result. */
async function logSettings({ service }: LoadedService) {
  const { logFormat } = await import('../src/process/log.ts')
  const format = await logFormat(service.name, process.env)
  return { ...format, level: 'warn', stream: process.stderr }
}

/** The same for what needs the database alone: see `withDatabase` of `BaseCommand`. */
export async function withDatabaseOf<T>(
  loaded: LoadedService,
  work: Work<T, ServiceDatabase>,
): Promise<T> {
  const { withServiceDatabase } = await import('../src/service-database.ts')
  const told: Promise<void>[] = []
  // Few have any to tell.
  const log: SlowLog = { warn: (fields, text) => void told.push(warn(loaded, fields, text)) }
  const { service, root } = loaded
  const settings = { root, log }
  try {
    return await withServiceDatabase(service, settings, (database) => work(database, loaded))
  } finally {
    await Promise.all(told)
  }
}

async function warn(loaded: LoadedService, fields: object, text: string): Promise<void> {
  const { pino } = await import('pino')
  const { stream, ...settings } = await logSettings(loaded)
  pino(settings, stream).warn(fields, text)
}

/** The migrator of a service: of its database, its folder `migrations/` and those of its plugins. */
export async function migratorOf(
  db: Database,
  { root, service }: LoadedService,
): Promise<Migrator> {
  const { foldersOf } = await import('../src/kit.ts')
  const { createMigrator } = await import('../src/database/migration/migrator.ts')
  const { withoutModels } = await import('../src/database/model/query/hide.ts')
  const { withTablesOf } = await import('../src/database/own-tables.ts')
  // A migration's rows are as it writes them: its tables are not those of today's models.
  return createMigrator({
    db: withoutModels(withTablesOf(db, service)),
    directory: join(root, 'migrations'),
    plugins: foldersOf(service, 'migrations'),
  })
}
