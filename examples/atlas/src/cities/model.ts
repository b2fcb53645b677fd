import { defineModel, Type } from 'plinth'
import { Country } from '../countries/model.ts'

export const City = defineModel('city', {
  columns: {
    id: Type.Integer({
      minimum: 1,
      description: 'The GeoNames id of a city that came with the data',
    }),
    name: Type.String({
      minLength: 1,
      maxLength: 120,
      description: 'In its own language, in Latin letters',
    }),
    country: Country.schema.properties.code,
    population: Type.Integer({ minimum: 0, maximum: 2_000_000_000 }),
    lat: Type.Number({ minimum: -90, maximum: 90, description: 'Degrees north' }),
    lon: Type.Number({ minimum: -180, maximum: 180, description: 'Degrees east' }),
  },
  generated: ['id'],
  // The last finds the cities near a point: a band of latitudes, in it the longitudes.
  indexes: [['country', 'population'], ['name'], ['population'], ['lat', 'lon']],
  foreignKeys: { country: 'country.code' },
  audit: ['created_at', 'updated_at'],
})
