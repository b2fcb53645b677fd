import type { Test } from 'tap'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'
import { type ManageOptions, manage, startManage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

export const SERVICE = `
import { defineService } from 'plinth'
export default defineService({ name: 'shop', modules: {} })`

/** `manage` for one service and one database. */
export interface Shop {
  run(...args: string[]): ReturnType<typeof manage>
  runIn(env: Record<string, string>, ...args: string[]): ReturnType<typeof manage>
  start(...args: string[]): ReturnType<typeof startManage>
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
      const options = (env = {}): ManageOptions => ({ service, env: { DATABASE_URL: url, ...env } })
      const service = writeService(t, { 'src/service.ts': SERVICE, ...files })
      await test(t, {
        run: (...args) => manage(t, args, options()),
        runIn: (env, ...args) => manage(t, args, options(env)),
        start: (...args) => startManage(t, args, options()),
      })
    })
  }
}

/** The same on SQLite alone: for what a command does whatever the database is. */
export function onSqlite(
  t: Test,
  name: string,
  files: Record<string, string>,
  test: ShopTest,
): void {
  const sqlite = databaseDrivers.filter((driver) => driver.name === 'sqlite')
  onEveryDatabase(t, name, files, test, sqlite)
}

/** A migration that creates a table with one column. */
export function creating(table: string): string {
  return `
import type { Migration } from 'plinth'
export const up: Migration = async (_db, { createTable, types }) => {
  await createTable('${table}').addColumn('n', types.id, (n) => n.primaryKey()).execute()
}
export const down: Migration = async (db) => {
  await db.schema.dropTable('${table}').execute()
}`
}
