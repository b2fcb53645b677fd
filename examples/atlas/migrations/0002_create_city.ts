import type { Migration } from 'plinth'

export const up: Migration = async (db, { createTable, types }) => {
  await createTable('city')
    .addColumn('id', types.id, (id) => id.primaryKey().autoIncrement())
    .addColumn('name', 'varchar(120)', (name) => name.notNull())
    .addColumn('country', 'char(2)', (country) => country.notNull())
    .addColumn('population', 'integer', (population) => population.notNull())
    .addColumn('lat', types.double, (lat) => lat.notNull())
    .addColumn('lon', types.double, (lon) => lon.notNull())
    .addColumn('created_at', types.timestamp, (createdAt) => createdAt.notNull())
    .addColumn('updated_at', types.timestamp, (updatedAt) => updatedAt.notNull())
    .addForeignKeyConstraint('city_country', ['country'], 'country', ['code'])
    .execute()
  const indexes: Record<string, string[]> = {
    city_country_population: ['country', 'population'],
    city_name: ['name'],
    city_population: ['population'],
    // Finds the cities near a point: a band of latitudes, in it the longitudes.
    city_lat_lon: ['lat', 'lon'],
  }
  for (const [name, columns] of Object.entries(indexes)) {
    await db.schema.createIndex(name).on('city').columns(columns).execute()
  }
}

export const down: Migration = async (db) => {
  await db.schema.dropTable('city').execute()
}
