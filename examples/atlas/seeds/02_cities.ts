import { defineSeed, insertMissing } from 'plinth'
import { CITY_COUNT, readCities } from '../src/data/cities.ts'

export default defineSeed({
  summary: 'The cities of the world',
  total: CITY_COUNT,
  resumable: true,
  async run({ db, batches, progress }) {
    const now = new Date()
    for (const cities of batches(readCities())) {
      const rows = cities.map((city) => ({ ...city, created_at: now, updated_at: now }))
      await progress(rows.length, await insertMissing(db, 'city', rows, 'id'))
    }
  },
})
