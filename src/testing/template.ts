import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { type Kysely, sql } from 'kysely'
import { diff } from '../database/migration/autodetector.ts'
import { listMigrations } from '../database/migration/loader.ts'
import { createMigrator, type Migrator } from '../database/migration/migrator.ts'
import { compileOperations } from '../database/migration/operations/index.ts'
import { withoutModels } from '../database/model/query/hide.ts'
import { dialectOf } from '../database/portable.ts'
import type { SchemaState } from '../database/schema/state.ts'
import { createSeeder, type SeedOptions, type SeedResult } from '../database/seed/seeder.ts'
import type { Database } from '../database/types.ts'
import type { ServiceDefinition } from '../define-service.ts'
import { foldersOf, modelsOf } from '../kit.ts'
import { kit } from '../process/kit.ts'
import { withServiceDatabase } from '../service-database.ts'
import type { Template } from './isolated.ts'

interface TemplateOptions {
  root: string
  env: Readonly<Record<string, string | undefined>> | undefined
  /** What adds the rows that each test begins with, and what tells it from others. */
  setUp: { key: unknown; fill(url: string): Promise<void> } | undefined
}

/**
 * What is in a database of a service from the beginning: what its migrations make, and, as long as there are none, the tables of its models.
 *
 * @returns undefined where it has neither
 */
export async function templateOf(
  service: ServiceDefinition,
  { root, env, setUp }: TemplateOptions,
): Promise<Template | undefined> {
  const files = await listMigrations(join(root, 'migrations'), foldersOf(service, 'migrations'))
  const models = modelsOf(service)
  if (files.length === 0 && models.length === 0) return undefined
  const schema = Object.fromEntries(models.map(({ table, state }) => [table, state]))
  const made = files.length > 0 ? files.map(({ name, checksum }) => [name, checksum]) : schema
  return {
    key: hash('sha256', JSON.stringify([kit().version, made])).slice(0, 24),
    // One that imports code of the service may do another thing when that has changed.
    isShared: !files.some(({ path }) => /from '\.\.?\//.test(readFileSync(path, 'utf8'))),
    setUp: setUp?.fill,
    setUpKey: setUp?.key,
    async migrate(url) {
      const settings = {
        root,
        env: { NODE_ENV: 'test', ...env, DATABASE_URL: url },
        dotenv: false,
      }
      await withServiceDatabase(service, settings, async ({ db }) => {
        if (files.length > 0) await migratorOf(service, db, root).migrate()
        else await createTables(db, schema)
      })
    },
  }
}

function migratorOf(service: ServiceDefinition, db: Database, root: string): Migrator {
  const plugins = foldersOf(service, 'migrations')
  return createMigrator({ db: withoutModels(db), directory: join(root, 'migrations'), plugins })
}

async function createTables<DB>(db: Kysely<DB>, schema: SchemaState): Promise<void> {
  for (const step of compileOperations(diff({}, schema), {}, dialectOf(db)))
    if ('sql' in step) await sql.raw(step.sql).execute(db)
}

/** Runs the seeds of a service. @throws {PlinthError} SEED_UNKNOWN, SEED_INVALID, SEED_FAILED */
export async function seedDatabase(
  service: ServiceDefinition,
  app: FastifyInstance,
  root: string,
  options?: SeedOptions,
): Promise<SeedResult[]> {
  const seeder = createSeeder({
    db: app.db,
    migrator: migratorOf(service, app.db, root),
    directory: join(root, 'seeds'),
    plugins: foldersOf(service, 'seeds'),
  })
  return await seeder.seed(options)
}
