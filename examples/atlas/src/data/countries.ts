import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Country } from 'world-countries'

/** A country or territory of the package `world-countries`. */
export interface CountryData {
  /** ISO 3166-1 alpha-2. */
  code: string
  name: string
  /** Where there are several, all of them; `null` where there is none. */
  capital: string | null
  region: string
  subregion: string | null
  /** km²; `null` where it is not known. */
  area: number | null
  /** Degrees. */
  lat: number
  lon: number
  /** An emoji. */
  flag: string
}

/** Reads the countries. What the package leaves empty, or marks with -1, is `null` here. */
export function readCountries(): CountryData[] {
  const file = fileURLToPath(import.meta.resolve('world-countries/countries.json'))
  const countries: Country[] = JSON.parse(readFileSync(file, 'utf8'))
  return countries.map(({ cca2, name, capital, region, subregion, area, latlng, flag }) => ({
    code: cca2,
    name: name.common,
    capital: capital.join(', ') || null,
    region,
    subregion: subregion || null,
    area: area < 0 ? null : area,
    lat: latlng[0],
    lon: latlng[1],
    flag,
  }))
}
