import { readFileSync } from 'node:fs'
import { createConnection } from 'mysql2/promise'
import t from 'tap'
import { loadSqlite } from '../../../src/database/dialect/sqlite/open.ts'
import { differences, readSchema } from '../../../src/database/inspect/differences.ts'
import { inspect } from '../../../src/database/inspect/model-writer.ts'
import { type DatabaseDriver, databaseDrivers } from '../../helpers/drivers.ts'
import { open } from '../fixture.ts'
import { create } from './schema.ts'

const FOLDER = new URL('../../fixtures/opendnssec/', import.meta.url)

/** A database with the tables of OpenDNSSEC. */
async function load(url: string, { name }: DatabaseDriver): Promise<void> {
  const sql = readFileSync(new URL(`schema.${name}.sql`, FOLDER), 'utf8')
  if (name === 'sqlite') {
    const { DatabaseSync } = loadSqlite()
    const database = new DatabaseSync(url.slice('sqlite:'.length))
    database.exec(sql)
    return database.close()
  }
  const connection = await createConnection({ uri: url, multipleStatements: true })
  await connection.query(sql)
  await connection.end()
}

const NOTES = {
  sqlite: [],
  mysql: ['hsmKey.locator', 'policy.name', 'zone.name'].map((place) => {
    const [table = '', column = ''] = place.split('.')
    const index = table + column.charAt(0).toUpperCase() + column.slice(1)
    return `${table}: the index ${index} is on the first 255 characters of ${column} and is left out`
  }),
}

for (const driver of databaseDrivers) {
  t.test(`a real schema is read and made again: identical (${driver.name})`, async (t) => {
    const url = await driver.url(t)
    await load(url, driver)
    const read = await readSchema(await open(t, url))
    t.equal(Object.keys(read.schema).length, 8)
    t.strictSame(read.notes, NOTES[driver.name])

    const { notes, tables } = inspect(read, driver.name)
    t.strictSame(notes, read.notes, 'the models take all of it, and say nothing else')
    t.strictSame(differences(tables, read.schema, driver.name), [])

    // SQLite's file is in the folder that `driver.url` would empty.
    const other = await open(t, driver.name === 'sqlite' ? 'sqlite::memory:' : await driver.url(t))
    await create(other, tables, driver.name)
    const again = await readSchema(other)
    t.strictSame(again, { schema: read.schema, notes: [], unmanaged: {} })
  })
}
