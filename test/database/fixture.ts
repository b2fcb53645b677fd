import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import type { Kysely } from 'kysely'
import type { Test } from 'tap'
import database, { type DatabaseOptions } from '../../plugins/database.ts'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'

/** A database whose tables only the test knows. */
export type AnyDatabase = Kysely<Record<string, Record<string, unknown>>>

export interface Fixture {
  driver: DatabaseDriver
  url: string
  db: AnyDatabase
}

/** Runs `test` on every database, each time on an empty one. */
export function onEveryDatabase(
  t: Test,
  name: string,
  test: (t: Test, fixture: Fixture) => Promise<void>,
  drivers: readonly DatabaseDriver[] = databaseDrivers,
): void {
  for (const driver of drivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const url = await driver.url(t)
      await test(t, { driver, url, db: await open(t, url) })
    })
  }
}

/** The same on MySQL alone: for what only a database without DDL in transactions has. */
export function onMysql(
  t: Test,
  name: string,
  test: (t: Test, fixture: Fixture) => Promise<void>,
): void {
  const mysql = databaseDrivers.filter((driver) => driver.name === 'mysql')
  onEveryDatabase(t, name, test, mysql)
}

/** Opens a database until the test ends. */
export async function open(
  t: Test,
  url: string,
  options: Partial<DatabaseOptions> = {},
): Promise<AnyDatabase> {
  const app = Fastify()
  // Many wait at once in some tests, and longer on a busy machine than they would in a service.
  app.register(database, { url, acquireTimeout: '60s', ...options })
  await app.ready()
  t.teardown(() => app.close())
  return app.db as unknown as AnyDatabase
}

/**
 * Writes files into a new folder that is removed when the test ends. `t.testdir()` is the database's. A changed file
 * of the same path would not be loaded again: give the folder another name.
 */
export function folder(t: Test, files: Readonly<Record<string, string>>, name = 'files'): string {
  const path = `${t.testdirName}-${name}`
  rmSync(path, { recursive: true, force: true })
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(path, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return path
}

/** Makes a fresh database for a service of a test, which empties the folder that the file of SQLite would be in. Returns its URL. */
export async function serviceUrl(t: Test, driver: DatabaseDriver): Promise<string> {
  if (driver.name !== 'sqlite') return await driver.url(t)
  return `sqlite:${join(folder(t, {}, 'database'), 'test.db')}`
}

/** The text of a migration of these operations. */
export function migration(...operations: readonly string[]): string {
  return `import * as m from 'plinth/migration'\nexport default m.defineMigration([${operations.join(', ')}])\n`
}

/** A migration that creates tables with a column `n`. */
export function creating(...tables: readonly string[]): string {
  const table = `{ columns: { n: { type: 'bigint' } }, primaryKey: ['n'] }`
  return migration(...tables.map((name) => `m.createTable('${name}', ${table})`))
}

/** A migration that writes numbers into a table. */
export function inserting(table: string, ...numbers: readonly number[]): string {
  const rows = JSON.stringify(numbers.map((n) => ({ n })))
  return migration(
    `m.runData({ up: (db) => db.insertInto('${table}').values(${rows}).execute(), down: (db) => db.deleteFrom('${table}').execute() })`,
  )
}

/** Its tables, without those of the kit. */
export async function tablesOf(db: AnyDatabase): Promise<string[]> {
  const tables = (await db.introspection.getTables()).map(({ name }) => name)
  return tables.filter((name) => !name.startsWith('plinth_')).sort()
}
