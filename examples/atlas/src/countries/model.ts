import { Type } from 'plinth'

const optionalText = Type.Union([Type.String(), Type.Null()])

export const Country = Type.Object({
  code: Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2' }),
  name: Type.String(),
  capital: optionalText,
  region: Type.String(),
  subregion: optionalText,
  area: Type.Union([Type.Number({ description: 'km²' }), Type.Null()]),
  lat: Type.Number({ description: 'Degrees north' }),
  lon: Type.Number({ description: 'Degrees east' }),
  flag: Type.String({ description: 'As an emoji' }),
})

export interface CountryTable {
  code: string
  name: string
  capital: string | null
  region: string
  subregion: string | null
  area: number | null
  lat: number
  lon: number
  flag: string
}

declare module 'plinth' {
  interface DatabaseTables {
    country: CountryTable
  }
}
