import { defineResource, insertMissing, Type } from 'plinth'
import { Country } from '../countries/model.ts'
import { CITY_COUNT, readCities } from '../data/cities.ts'

const BATCH = 500

/** Takes seconds: to be called with the header `X-Async-Task`, or `importAll.enqueue()`. */
export const importAll = defineResource({
  summary: 'Add the cities of the data that are missing',
  description:
    'Send `X-Async-Task: 1` to have it done as a task; `GET /tasks/:id` tells how far it is.',
  method: 'POST',
  path: '/import',
  request: Type.Object({ country: Type.Optional(Country.schema.properties.code) }),
  response: Type.Object({ read: Type.Integer(), added: Type.Integer() }),
  async: true,
  task: { attempts: 3 },
  timeout: 600_000,
  async perform({ country }, { db, cache, signal, progress }) {
    const now = new Date()
    const told = { read: 0, added: 0 }
    const countries = new Set<string>()
    for (const batch of batches(country)) {
      signal.throwIfAborted()
      const rows = batch.map((city) => ({ ...city, created_at: now, updated_at: now }))
      told.added += await insertMissing(db, 'city', rows, 'id')
      told.read += rows.length
      for (const row of rows) countries.add(row.country)
      await progress({ state: 'importing', message: `${told.read} of ${CITY_COUNT}`, data: told })
    }
    await cache.invalidate(...Array.from(countries, (code) => `country:${code}`))
    return told
  },
})

function* batches(country: string | undefined) {
  let batch = []
  for (const city of readCities()) {
    if (country !== undefined && city.country !== country) continue
    if (batch.push(city) < BATCH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
