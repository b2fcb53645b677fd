import { sql } from 'kysely'
import t from 'tap'
import { portable } from '../../src/database/portable.ts'
import { onEveryDatabase } from './fixture.ts'

onEveryDatabase(
  t,
  'one migration makes tables that give back the same values',
  async (t, { db, driver }) => {
    // As on a server with the settings of long ago.
    if (driver.name === 'mysql') await sql`alter database character set latin1`.execute(db)
    const { createTable, types } = portable(db)
    await createTable('thing')
      .addColumn('id', types.id, (id) => id.primaryKey().autoIncrement())
      .addColumn('name', 'varchar(40)')
      .addColumn('at', types.timestamp)
      .addColumn('ratio', types.double)
      .addColumn('open', types.boolean)
      .addColumn('price', types.decimal(12, 2))
      .addColumn('tags', types.json)
      .execute()
    const values = {
      name: 'Größe 🗺️',
      ratio: 0.1,
      open: true,
      price: '1234567890.10',
      tags: ['a', { b: null }],
    }
    const at = new Date('2026-11-22T10:00:00.123Z')
    for (const _ of [1, 2])
      await db
        .insertInto('thing')
        .values({ ...values, at })
        .execute()
    const row = { ...values, at: at.toISOString() }
    t.strictSame(await db.selectFrom('thing').selectAll().orderBy('id').execute(), [
      { id: 1, ...row },
      { id: 2, ...row },
    ])
  },
)
