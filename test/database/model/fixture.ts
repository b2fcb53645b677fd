import Fastify from 'fastify'
import { type Kysely, sql } from 'kysely'
import type { Test } from 'tap'
import { Type } from 'typebox'
import database, { type DatabaseOptions } from '../../../plugins/database.ts'
import { createTable } from '../../../src/database/migration/index.ts'
import { compileOperations } from '../../../src/database/migration/operations/index.ts'
import { defineModel } from '../../../src/database/model/define.ts'
import type { Model, Tables } from '../../../src/database/model/types.ts'
import { type DatabaseDriver, databaseDrivers } from '../../helpers/drivers.ts'

export const Country = defineModel('country', {
  columns: { code: Type.String({ maxLength: 2 }), name: Type.String({ maxLength: 80 }) },
  primaryKey: ['code'],
})

export const City = defineModel('city', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 120 }),
    country: Type.String({ maxLength: 2 }),
    population: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_000_000_000 })),
  },
  generated: ['id'],
  unique: [['name', 'country']],
  foreignKeys: { country: 'country.code' },
  audit: true,
  softDelete: true,
})

const models = [Country, City]

export interface Fixture {
  db: Kysely<Tables<typeof models>>
  driver: DatabaseDriver
  /** What the statements say of who and when; a test may change it. */
  actor: { name?: string }
}

/** Runs `test` on every database, with France, Germany and three cities in it. */
export function onEveryDatabase(
  t: Test,
  name: string,
  test: (t: Test, fixture: Fixture) => Promise<void>,
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const actor: Fixture['actor'] = {}
      const options = { url: await driver.url(t), models, actor: () => actor.name }
      const db = (await openModels(t, driver, options)) as unknown as Fixture['db']
      await db
        .insertInto('country')
        .values([
          { code: 'FR', name: 'France' },
          { code: 'DE', name: 'Germany' },
        ])
        .execute()
      const cities = [
        { name: 'Paris', country: 'FR' },
        { name: 'Lyon', country: 'FR' },
        { name: 'Berlin', country: 'DE' },
      ]
      await db.insertInto('city').values(cities).execute()
      await test(t, { db, driver, actor })
    })
  }
}

/** Opens a database until the test ends, with the tables of its models. */
export async function openModels(
  t: Test,
  driver: DatabaseDriver,
  options: DatabaseOptions & { models: readonly Model[] },
) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(database, options)
  await createTables(app.db, driver, options.models)
  return app.db
}

/** Creates the tables of `models` in an empty database. */
export async function createTables<DB>(
  db: Kysely<DB>,
  driver: DatabaseDriver,
  models: readonly Model[],
): Promise<void> {
  const operations = models.map(({ table, state }) => createTable(table, state))
  for (const step of compileOperations(operations, {}, driver.name)) {
    if ('sql' in step) await sql.raw(step.sql).execute(db)
  }
}
