import { fileURLToPath } from 'node:url'
import { type TestApp, type TestAppOptions, testApp } from 'plinth/testing'
import type { Test } from 'tap'
import service from '../src/service.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

export type Atlas = TestApp<typeof service.modules>

export const ann = { id: 'north/ann' }
export const bob = { id: 'north/bob' }
export const cleo = { id: 'south/cleo' }
export const admin = { id: 'north/root', role: 'admin' }

/** SQLite, and the server that runs with the tests. */
const databases = { sqlite: 'sqlite', mysql: process.env.TEST_MYSQL_URL }

/** Runs `test` on every database, each time with a fresh Atlas: a few countries and cities, no more. */
export function onEveryDatabase(
  t: Test,
  name: string,
  test: (t: Test, app: Atlas) => Promise<void>,
  options: TestAppOptions<typeof service.modules> = {},
) {
  for (const [kind, database] of Object.entries(databases)) {
    t.test(`${name} (${kind})`, async (t) => {
      if (database === undefined) throw new Error('TEST_MYSQL_URL is not set: run npm test -- FILE')
      await test(t, await createAtlas(t, { database, ...options }))
    })
  }
}

/** A fresh Atlas, ready, until `t` ends. */
export async function createAtlas(
  t: Test,
  options: TestAppOptions<typeof service.modules> = {},
): Promise<Atlas> {
  return await testApp(service, { t, root, setUp: addCities, ...options })
}

export async function addCities({ db }: Atlas): Promise<void> {
  await db.insertInto('country').values(countries).execute()
  await db.insertInto('city').values(cities).execute()
}

const country = { capital: null, region: 'Europe', subregion: null, area: 1.5, lat: 0, lon: 0 }
const countries = [
  { ...country, code: 'FR', name: 'France', flag: '🇫🇷' },
  { ...country, code: 'DE', name: 'Germany', flag: '🇩🇪' },
  { ...country, code: 'FJ', name: 'Fiji', flag: '🇫🇯' },
  { ...country, code: 'AQ', name: 'Antarctica', flag: '🇦🇶', region: 'Antarctic' },
]

/** When the rows were written. */
export const written = new Date('2026-01-02T03:04:05.678Z')
const stamps = { created_at: written, updated_at: written }
const cities = [
  {
    id: 1,
    name: 'Paris',
    country: 'FR',
    population: 2_138_551,
    lat: 48.85341,
    lon: 2.3488,
    ...stamps,
  },
  {
    id: 2,
    name: 'Parthenay',
    country: 'FR',
    population: 11_599,
    lat: 46.64872,
    lon: -0.25,
    ...stamps,
  },
  {
    id: 3,
    name: 'Lyon',
    country: 'FR',
    population: 472_317,
    lat: 45.74846,
    lon: 4.84671,
    ...stamps,
  },
  {
    id: 4,
    name: 'Berlin',
    country: 'DE',
    population: 3_426_354,
    lat: 52.52437,
    lon: 13.41053,
    ...stamps,
  },
  { id: 5, name: 'Waiyevo', country: 'FJ', population: 1000, lat: -16.79, lon: 179.99, ...stamps },
  { id: 6, name: 'Lami', country: 'FJ', population: 20_529, lat: -16.8, lon: -179.98, ...stamps },
]
