import type { Migration } from 'plinth'

export const up: Migration = async (_db, { createTable, types }) => {
  await createTable('country')
    .addColumn('code', 'char(2)', (code) => code.primaryKey())
    .addColumn('name', 'varchar(120)', (name) => name.notNull())
    .addColumn('capital', 'varchar(120)')
    .addColumn('region', 'varchar(60)', (region) => region.notNull())
    .addColumn('subregion', 'varchar(60)')
    .addColumn('area', types.double)
    .addColumn('lat', types.double, (lat) => lat.notNull())
    .addColumn('lon', types.double, (lon) => lon.notNull())
    .addColumn('flag', 'varchar(16)', (flag) => flag.notNull())
    .execute()
}

export const down: Migration = async (db) => {
  await db.schema.dropTable('country').execute()
}
