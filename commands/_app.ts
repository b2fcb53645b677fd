import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Migrator } from '../src/database/migration/migrator.ts'
import { errors } from '../src/errors.ts'
import type { AppOptions } from '../src/service.ts'
import type { LoadedService } from './_service.ts'

// What commands do with the app of a service, without oclif: loading that takes as long as a small command does altogether.

type Work<T> = (app: FastifyInstance, loaded: LoadedService) => Promise<T>

/** Runs `work` with the app of a service, ready but not listening, and closes it whatever happens. */
export async function withAppOf<T>(
  loaded: LoadedService,
  work: Work<T>,
  options: AppOptions = {},
): Promise<T> {
  const { createApp } = await import('../src/service.ts')
  const { logFormat } = await import('../src/process/log.ts')
  const app = (await createApp(loaded.service, {
    root: loaded.root,
    logger: {
      ...(await logFormat(loaded.service.name, process.env)),
      level: 'warn',
      stream: process.stderr,
    },
    ...options,
  })) as unknown as FastifyInstance
  try {
    await app.ready()
    return await work(app, loaded)
  } finally {
    await app.close()
  }
}

/** The same for what needs the database alone: see `withDatabase` of `BaseCommand`. */
export async function withDatabaseOf<T>(loaded: LoadedService, work: Work<T>): Promise<T> {
  const override = { database: { queryTimeout: 0 } }
  return await withAppOf(loaded, work, { only: ['database'], override })
}

/**
 * The migrator of a service: of its database, its folder `migrations/` and those of its plugins.
 *
 * @throws {PlinthError} DATABASE_MISSING
 */
export async function migratorOf(
  app: FastifyInstance,
  { root, service }: LoadedService,
): Promise<Migrator> {
  if (!app.hasDecorator('db')) throw errors.DATABASE_MISSING()
  const { foldersOf } = await import('../src/kit.ts')
  const { createMigrator } = await import('../src/database/migration/migrator.ts')
  const { withoutModels } = await import('../src/database/model/soft-delete.ts')
  const { withTablesOf } = await import('../src/database/own-tables.ts')
  // A migration's rows are as it writes them: its tables are not those of today's models.
  return createMigrator({
    db: withoutModels(withTablesOf(app.db, service)),
    directory: join(root, 'migrations'),
    plugins: foldersOf(service, 'migrations'),
  })
}
