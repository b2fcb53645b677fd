import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type TestApp, type TestContext, testApp } from 'plinth/testing'
import service from '../examples/atlas/src/service.ts'

// 100 tests of Atlas: `reset`, one app for all, which is put back after each; `app`, one for each. TEST_DATABASE_URL says on which database.
const [way] = process.argv.slice(2)
const root = fileURLToPath(new URL('../examples/atlas', import.meta.url))

async function addCountry({ db }: TestApp<typeof service.modules>): Promise<void> {
  const place = { region: 'Europe', capital: null, subregion: null, area: 1, lat: 0, lon: 0 }
  const country = { ...place, code: 'FR', name: 'France', flag: '🇫🇷' }
  await db.insertInto('country').values(country).execute()
}

const open = (t: TestContext) => testApp(service, { t, root, setUp: addCountry })

const shared = way === 'reset' ? await open({ after }) : undefined

for (let number = 1; number <= 100; number++) {
  test(`a city is added, ${number}`, async (t) => {
    const app = shared ?? (await open(t))
    if (shared) app.resetAfter(t)
    const city = { name: `City ${number}`, country: 'FR', population: number, lat: 48, lon: 2 }
    const { data } = await app.as('north/ann').send(app.resources.cities.create, city)
    assert.equal(data.id, 1)
    assert.equal((await app.inject('/cities')).json().data.total, 1)
  })
}
