import t from 'tap'
import { onEveryDatabase } from './helper.ts'

onEveryDatabase(t, 'lists countries', async (t, app) => {
  const response = await app.inject('/countries?region=Europe&order=-name')
  t.strictSame(
    response.json().data.results.map((country: { code: string }) => country.code),
    ['DE', 'FR', 'FJ'],
  )
})

onEveryDatabase(t, "tells a country with its cities' totals", async (t, app) => {
  const response = await app.inject('/countries/FR')
  t.equal(response.statusCode, 200)
  t.strictSame(response.json().data, {
    code: 'FR',
    name: 'France',
    capital: null,
    region: 'Europe',
    subregion: null,
    area: 1.5,
    lat: 0,
    lon: 0,
    flag: '🇫🇷',
    totals: { cities: 3, population: 2_138_551 + 11_599 + 472_317 },
  })
  const empty = await app.inject('/countries/AQ')
  t.strictSame(empty.json().data.totals, { cities: 0, population: 0 })
  const unknown = await app.inject('/countries/XX')
  t.strictSame([unknown.statusCode, unknown.json().message], [404, 'There is no country XX'])
})

onEveryDatabase(t, 'answers 304 until a city of the country changes', async (t, app) => {
  const first = await app.inject('/countries/FR')
  const etag = first.headers.etag as string
  const again = () => app.inject({ url: '/countries/FR', headers: { 'if-none-match': etag } })
  const unchanged = await again()
  t.strictSame([unchanged.statusCode, unchanged.body], [304, ''])
  await app.resources.cities.update({ id: 3, population: 500_000 })
  t.equal((await again()).statusCode, 200)
})
