import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import type { Kysely } from 'kysely'
import type { Test } from 'tap'
import database from '../../plugins/database.ts'
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
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const url = await driver.url(t)
      await test(t, { driver, url, db: await open(t, url) })
    })
  }
}

/** Opens a database until the test ends; it waits 50 ms for locks. */
export async function open(t: Test, url: string): Promise<AnyDatabase> {
  const app = Fastify()
  app.register(database, { url, acquireTimeout: 50 })
  await app.ready()
  t.teardown(() => app.close())
  return app.db as unknown as AnyDatabase
}

/** Writes files into a new folder that is removed when the test ends. `t.testdir()` is the database's. */
export function folder(t: Test, files: Readonly<Record<string, string>>): string {
  const path = `${t.testdirName}-files`
  rmSync(path, { recursive: true, force: true })
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(path, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return path
}

/** A migration that creates tables, and one that drops them. */
export function creating(...tables: readonly string[]): string {
  const create = tables.map(
    (table) => `await createTable('${table}').addColumn('n', types.id).execute()`,
  )
  const drop = tables.map((table) => `await db.schema.dropTable('${table}').execute()`)
  return [
    `export const up = async (db, { createTable, types }) => { ${create.join(';')} }`,
    `export const down = async (db) => { ${drop.join(';')} }`,
  ].join('\n')
}

export async function tablesOf(db: AnyDatabase): Promise<string[]> {
  return (await db.introspection.getTables()).map(({ name }) => name).sort()
}
