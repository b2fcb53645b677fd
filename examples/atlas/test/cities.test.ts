import t from 'tap'
import { admin, ann, onEveryDatabase, written } from './helper.ts'

const paris = {
  id: 1,
  name: 'Paris',
  country: 'FR',
  population: 2_138_551,
  lat: 48.85341,
  lon: 2.3488,
  created_at: written.toISOString(),
  updated_at: written.toISOString(),
}

onEveryDatabase(
  t,
  'lists cities by country and part of the name, ordered, page by page',
  async (t, app) => {
    const response = await app.inject(
      '/cities?country=FR&name=par&page=1&page_size=1&order=-population',
    )
    t.equal(response.statusCode, 200)
    t.strictSame(response.json().data, { page: 1, num_pages: 2, total: 2, results: [paris] })
    const second = await app.inject(
      '/cities?country=FR&name=par&page=2&page_size=1&order=-population',
    )
    t.strictSame(
      second.json().data.results.map((city: { name: string }) => city.name),
      ['Parthenay'],
    )
  },
)

onEveryDatabase(t, 'refuses what it does not know, and pages that are too long', async (t, app) => {
  const response = await app.inject('/cities?contry=FR&page_size=100000&order=mayor')
  t.equal(response.statusCode, 400)
  t.strictSame(
    response
      .json()
      .errors.map((error: { path: string }) => error.path)
      .sort(),
    ['/contry', '/order', '/page_size'],
  )
})

onEveryDatabase(t, 'finds the nearest cities, also across the date line', async (t, app) => {
  const names = async (query: string) => {
    const response = await app.inject(`/cities/nearest?${query}`)
    t.equal(response.statusCode, 200)
    return response.json().data.map((city: { name: string }) => city.name)
  }
  t.strictSame(await names('lat=48.85&lon=2.35&limit=2'), ['Paris', 'Parthenay'])
  t.strictSame(await names('lat=-16.79&lon=-179.99&limit=2'), ['Lami', 'Waiyevo'])
  t.strictSame((await names('lat=90&lon=0')).slice(0, 2), ['Berlin', 'Paris'])
})

onEveryDatabase(t, 'tells the distance', async (t, app) => {
  const [nearest] = await app.resources.cities.nearest({ lat: 52.52437, lon: 13.41053, limit: 1 })
  t.match(nearest, { name: 'Berlin', distance_km: 0 })
  const [, paris] = await app.resources.cities.nearest({ lat: 52.52437, lon: 13.41053, limit: 2 })
  t.match(paris, { name: 'Paris' })
  t.ok(Math.abs((paris?.distance_km ?? 0) - 878) < 2, `${paris?.distance_km} km`)
})

onEveryDatabase(t, 'creates, replaces, changes and deletes a city', async (t, app) => {
  const city = { name: 'Brest', country: 'FR', population: 144_899, lat: 48.39029, lon: -4.48628 }
  const created = await app.as(ann).inject({ method: 'POST', url: '/cities', payload: city })
  t.equal(created.statusCode, 201)
  const { id, created_at } = created.json().data
  t.strictSame(created.json().data, { id, ...city, created_at, updated_at: created_at })

  const put = await app.as(ann).inject({
    method: 'PUT',
    url: `/cities/${id}`,
    payload: { ...city, population: 1 },
  })
  t.match(put.json().data, { id, population: 1, created_at })
  const patched = await app.as(ann).inject({
    method: 'PATCH',
    url: `/cities/${id}`,
    payload: { name: 'Brest ⚓' },
  })
  t.match(patched.json().data, { id, name: 'Brest ⚓', population: 1 })
  t.match(
    await app.db.selectFrom('city').select(['name', 'population']).where('id', '=', id).execute(),
    [{ name: 'Brest ⚓', population: 1 }],
  )

  const removed = await app.as(admin).inject({ method: 'DELETE', url: `/cities/${id}` })
  t.strictSame([removed.statusCode, removed.json().data], [200, null])
  const gone = await app.inject(`/cities/${id}`)
  t.strictSame([gone.statusCode, gone.json().code], [404, 'NOT_FOUND'])
})

onEveryDatabase(
  t,
  'changes nothing where the city or its country does not exist',
  async (t, app) => {
    const count = () => app.db.selectFrom('city').select('id').execute()
    const before = await count()
    const unknown = { name: 'X', country: 'XX', population: 1, lat: 0, lon: 0 }
    const post = await app.as(ann).inject({ method: 'POST', url: '/cities', payload: unknown })
    t.strictSame(
      [post.statusCode, post.json().errors],
      [400, [{ path: '/country', message: 'there is no country XX' }]],
    )
    for (const method of ['PATCH', 'DELETE'] as const) {
      const payload = method === 'PATCH' ? { payload: { name: 'X' } } : {}
      const response = await app.as(admin).inject({ method, url: '/cities/99', ...payload })
      t.strictSame([response.statusCode, response.json().message], [404, 'There is no city 99'])
    }
    t.strictSame(await count(), before)
  },
)
