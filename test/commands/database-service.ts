import { join } from 'node:path'
import Fastify from 'fastify'
import type { Test } from 'tap'
import database from '../../plugins/database.ts'
import { createMigrator, type MigrateOptions } from '../../src/database/migration/migrator.ts'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'
import { type ManageOptions, manage, startManage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { startOnTerminal, type Terminal } from '../helpers/terminal.ts'

export const SERVICE = `
import { defineService } from 'plinth'
export default defineService({ name: 'shop', modules: {} })`

/** `manage` for one service and one database. */
export interface Shop {
  /** The folder of the service. */
  service: string
  url: string
  run(...args: string[]): ReturnType<typeof manage>
  runIn(env: Record<string, string>, ...args: string[]): ReturnType<typeof manage>
  start(...args: string[]): ReturnType<typeof startManage>
  onTerminal(...args: string[]): Terminal
  /** Applies its migrations in this process, which is faster: for what is not about that. */
  migrate(options?: MigrateOptions): Promise<void>
}

type ShopTest = (t: Test, shop: Shop) => Promise<void>

/** Runs `test` with a service of these files on every database, each time on an empty one. */
export function onEveryDatabase(
  t: Test,
  name: string,
  files: Record<string, string>,
  test: ShopTest,
  drivers: readonly DatabaseDriver[] = databaseDrivers,
): void {
  for (const driver of drivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const url = await driver.url(t)
      // Nothing is said of a statement that was slow on a busy machine.
      const all = { DATABASE_URL: url, DATABASE_SLOW_QUERY: '0' }
      const options = (env = {}): ManageOptions => ({ service, env: { ...all, ...env } })
      const service = writeService(t, { 'src/service.ts': SERVICE, ...files })
      await test(t, {
        service,
        url,
        run: (...args) => manage(t, args, options()),
        runIn: (env, ...args) => manage(t, args, options(env)),
        start: (...args) => startManage(t, args, options()),
        onTerminal: (...args) => startOnTerminal(t, args, options()),
        migrate: (wanted) => migrate(url, service, wanted),
      })
    })
  }
}

async function migrate(url: string, service: string, options?: MigrateOptions): Promise<void> {
  const app = Fastify()
  app.register(database, { url })
  await app.ready()
  try {
    await createMigrator({ db: app.db, directory: join(service, 'migrations') }).migrate(options)
  } finally {
    await app.close()
  }
}

/** The same on SQLite alone: for what a command does whatever the database is. */
export function onSqlite(
  t: Test,
  name: string,
  files: Record<string, string>,
  test: ShopTest,
): void {
  onEveryDatabase(t, name, files, test, driversOf('sqlite'))
}

/** The same on MySQL alone. */
export function onMysql(
  t: Test,
  name: string,
  files: Record<string, string>,
  test: ShopTest,
): void {
  onEveryDatabase(t, name, files, test, driversOf('mysql'))
}

function driversOf(name: DatabaseDriver['name']): DatabaseDriver[] {
  return databaseDrivers.filter((driver) => driver.name === name)
}

/** A migration that creates a table with one column. */
export function creating(table: string): string {
  return `
import { createTable, defineMigration } from 'plinth/migration'
export default defineMigration([
  createTable('${table}', { columns: { n: { type: 'bigint' } }, primaryKey: ['n'] }),
])`
}
