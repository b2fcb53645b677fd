import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Migrator } from '../src/database/migrator.ts'
import { errors } from '../src/errors.ts'

/**
 * The migrator of a service: of its database and its folder `migrations/`.
 *
 * @throws {PlinthError} DATABASE_MISSING
 */
export async function migratorOf(app: FastifyInstance, root: string): Promise<Migrator> {
  if (!app.hasDecorator('db')) throw errors.DATABASE_MISSING()
  const { createMigrator } = await import('../src/database/migrator.ts')
  return createMigrator({ db: app.db, directory: join(root, 'migrations') })
}

/** The options of an app that changes tables or loads data: one statement may take as long as it wants. */
export function withoutQueryTimeout(): { env: NodeJS.ProcessEnv } {
  return { env: { ...process.env, DATABASE_QUERY_TIMEOUT: '0' } }
}
