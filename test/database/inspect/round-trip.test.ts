import t from 'tap'
import { quoteName } from '../../../src/database/dialect/ddl.ts'
import { canonical, differences, readSchema } from '../../../src/database/inspect/differences.ts'
import type { DialectName } from '../../../src/database/schema/types.ts'
import { randomSchema, seeded } from '../../helpers/random-schema.ts'
import { type AnyDatabase, onEveryDatabase } from '../fixture.ts'
import { create, EVERYTHING, runAll } from './schema.ts'

onEveryDatabase(t, 'reads what our own types have made', async (t, { db, driver }) => {
  await create(db, EVERYTHING, driver.name)
  const { schema, notes } = await readSchema(db)
  t.strictSame(notes, [])
  t.strictSame(canonical(schema, driver.name), canonical(EVERYTHING, driver.name))
  t.strictSame(differences(EVERYTHING, schema, driver.name), [])
})

onEveryDatabase(t, 'reads any schema of our own types', async (t, { db, driver }) => {
  for (let seed = 1; seed <= 40; seed++) {
    const schema = randomSchema(seeded(seed))
    await create(db, schema, driver.name)
    const read = await readSchema(db)
    t.strictSame(read.notes, [], `seed ${seed}`)
    t.strictSame(differences(schema, read.schema, driver.name), [], `seed ${seed}`)
    await dropAll(db, Object.keys(schema), driver.name)
  }
})

/** Drops tables whatever refers to them. */
async function dropAll(
  db: AnyDatabase,
  tables: readonly string[],
  dialect: DialectName,
): Promise<void> {
  const keys = (on: boolean) =>
    dialect === 'mysql' ? `set foreign_key_checks = ${on}` : `pragma foreign_keys = ${on}`
  const drops = tables.map((table) => `drop table ${quoteName(table, dialect)}`)
  await db.connection().execute((one) => runAll(one, [keys(false), ...drops, keys(true)]))
}
