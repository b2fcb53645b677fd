import { fileURLToPath } from 'node:url'
import { createSigner } from 'fast-jwt'
import { type App, createApp } from 'plinth'
import type { Test } from 'tap'
import { createMigrator } from '../../../src/database/migrator.ts'
import { databaseDrivers } from '../../../test/helpers/drivers.ts'
import service from '../src/service.ts'
import { AUDIENCE } from '../src/users.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

export type Atlas = App<typeof service.modules>

const JWT_KEY = 'a secret of the tests, and of nobody else'
const sign = createSigner({ key: JWT_KEY, aud: AUDIENCE, expiresIn: 600_000 })

/** The headers of a user's request. @param id `north/ann` */
export function as(id: string, role?: 'admin'): { authorization: string } {
  const [tenant, sub] = id.split('/')
  return { authorization: `Bearer ${sign({ sub, tenant, ...(role && { role }) })}` }
}

export const ann = as('north/ann')
export const admin = as('north/root', 'admin')

/** Runs `test` on every database, each time with a fresh Atlas: a few countries and cities, no more. */
export function onEveryDatabase(
  t: Test,
  name: string,
  test: (t: Test, app: Atlas) => Promise<void>,
) {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) =>
      test(t, await createAtlas(t, await driver.url(t))),
    )
  }
}

/** A fresh Atlas on an empty database, ready. */
export async function createAtlas(t: Test, url: string): Promise<Atlas> {
  const env = { NODE_ENV: 'test', JWT_KEY, DATABASE_URL: url }
  const app = await createApp(service, { root, env, logger: false })
  t.teardown(() => app.close())
  await app.ready()
  await createMigrator({ db: app.db, directory: `${root}/migrations` }).migrate()
  await app.db.insertInto('country').values(countries).execute()
  await app.db.insertInto('city').values(cities).execute()
  return app
}

const country = { capital: null, region: 'Europe', subregion: null, area: 1.5, lat: 0, lon: 0 }
const countries = [
  { ...country, code: 'FR', name: 'France', flag: '🇫🇷' },
  { ...country, code: 'DE', name: 'Germany', flag: '🇩🇪' },
  { ...country, code: 'FJ', name: 'Fiji', flag: '🇫🇯' },
  { ...country, code: 'AQ', name: 'Antarctica', flag: '🇦🇶', region: 'Antarctic' },
]

/** When the rows of the fixture were written. */
export const written = new Date('2026-01-02T03:04:05.678Z')
const stamps = { created_at: written, updated_at: written }
export const cities = [
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
