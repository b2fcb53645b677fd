import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('city', {
    columns: {
      id: { type: 'bigint', generated: true },
      name: { type: 'varchar(120)' },
      country: { type: 'char(2)' },
      population: { type: 'integer' },
      lat: { type: 'double' },
      lon: { type: 'double' },
      created_at: { type: 'datetime' },
      updated_at: { type: 'datetime' },
    },
    primaryKey: ['id'],
    indexes: [
      { name: 'city_country_population_idx', columns: ['country', 'population'] },
      // Finds the cities near a point: a band of latitudes, in it the longitudes.
      { name: 'city_lat_lon_idx', columns: ['lat', 'lon'] },
      { name: 'city_name_idx', columns: ['name'] },
      { name: 'city_population_idx', columns: ['population'] },
    ],
    foreignKeys: [
      { name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] },
    ],
  }),
])
