import type { Generated } from 'kysely'
import { type Timestamp, Type } from 'plinth'

const fields = {
  name: Type.String({
    minLength: 1,
    maxLength: 120,
    description: 'In its own language, in Latin letters',
  }),
  country: Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2' }),
  population: Type.Integer({ minimum: 0, maximum: 2_000_000_000 }),
  lat: Type.Number({ minimum: -90, maximum: 90, description: 'Degrees north' }),
  lon: Type.Number({ minimum: -180, maximum: 180, description: 'Degrees east' }),
}

/** What a client says of a city. */
export const CityInput = Type.Object(fields)

export const City = Type.Object({
  id: Type.Integer({
    minimum: 1,
    description: 'The GeoNames id of a city that came with the data',
  }),
  ...fields,
  created_at: Type.String({ format: 'date-time' }),
  updated_at: Type.String({ format: 'date-time' }),
})

export interface CityTable {
  id: Generated<number>
  name: string
  country: string
  population: number
  lat: number
  lon: number
  created_at: Timestamp
  updated_at: Timestamp
}

declare module 'plinth' {
  interface DatabaseTables {
    city: CityTable
  }
}
