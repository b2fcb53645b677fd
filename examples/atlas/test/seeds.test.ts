import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { type Atlas, onEveryDatabase } from './helper.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

onEveryDatabase(
  t,
  'the data is loaded in two goes, and taken away',
  async (t, app) => {
    const { db } = app

    const stop = new AbortController()
    const first = app.seed({
      signal: stop.signal,
      on: (event) => event.type === 'progress' && event.rows === 20_000 && stop.abort(),
    })
    await t.rejects(first, { name: 'AbortError' })
    t.equal((await totals(app)).cities, 20_000)

    t.match(await app.seed(), [
      { name: '01_countries', skipped: true, rows: 250 },
      { name: '02_cities', skipped: false, rows: 135_233, added: 115_233 },
      { name: '03_reviews', skipped: false, rows: 5, added: 5 },
    ])
    t.strictSame(await totals(app), { cities: 135_233, population: 3_133_032_118, countries: 250 })
    t.match(await db.selectFrom('city').selectAll().where('id', '=', 2_988_507).execute(), [
      { name: 'Paris', country: 'FR', population: 2_138_551, lat: 48.85341, lon: 2.3488 },
    ])

    const migrator = createMigrator({ db, directory: `${root}/migrations` })
    await migrator.rollback({ steps: 4 })
    t.match(await migrator.pending(), [
      '0001_create_country',
      '0002_create_city',
      '0003_statistics',
      '0004_reviews',
    ])
  },
  { setUp: async () => {} },
)

async function totals({ db }: Atlas) {
  const { countries } = await db
    .selectFrom('country')
    .select(({ fn }) => fn.countAll<number>().as('countries'))
    .executeTakeFirstOrThrow()
  const { cities, population } = await db
    .selectFrom('city')
    .select(({ fn }) => [
      fn.countAll<number>().as('cities'),
      fn.sum<number | string>('population').as('population'),
    ])
    .executeTakeFirstOrThrow()
  return { cities, population: Number(population), countries }
}
