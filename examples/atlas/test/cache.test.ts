import t from 'tap'
import { admin, ann, onEveryDatabase } from './helper.ts'

onEveryDatabase(t, 'a city is read once, until it changes', async (t, app) => {
  const name = async () => (await app.inject('/cities/1')).json().data?.name
  const write = (name: string) =>
    app.db.updateTable('city').set({ name }).where('id', '=', 1).execute()
  t.equal(await name(), 'Paris')
  await write('behind its back')
  t.equal(await name(), 'Paris', 'it comes from the cache')

  await app.as(ann).resources.cities.update({ id: 1, population: 5 })
  t.equal(await name(), 'behind its back')
  const city = { name: 'Lutetia', country: 'FR', population: 1, lat: 48, lon: 2 }
  await app.as(ann).inject({ method: 'PUT', url: '/cities/1', payload: city })
  t.equal(await name(), 'Lutetia')

  const removed = await app.as(admin).inject({ method: 'DELETE', url: '/cities/1' })
  t.equal(removed.statusCode, 200)
  t.equal((await app.inject('/cities/1')).statusCode, 404)
})

onEveryDatabase(t, 'that there is no city is forgotten when it is added', async (t, app) => {
  const { id: last } = await app.resources.cities.create({
    name: 'Brest',
    country: 'FR',
    population: 144_899,
    lat: 48.39,
    lon: -4.48,
  })
  const next = `/cities/${last + 1}`
  t.equal((await app.inject(next)).statusCode, 404)
  const payload = { name: 'Nice', country: 'FR', population: 342_669, lat: 43.7, lon: 7.26 }
  const created = await app.as(ann).inject({ method: 'POST', url: '/cities', payload })
  t.equal(created.json().data.id, last + 1)
  t.match((await app.inject(next)).json().data, { name: 'Nice' })
})

onEveryDatabase(t, 'totals follow the cities of their country', async (t, app) => {
  const totals = async (code: string) => {
    const { data } = (await app.inject(`/countries/${code}/totals`)).json()
    return [data.cities, data.population]
  }
  t.strictSame(
    [await totals('DE'), await totals('AQ')],
    [
      [1, 3_426_354],
      [0, 0],
    ],
  )
  await app.db.deleteFrom('city').where('id', '=', 4).execute()
  t.strictSame(await totals('DE'), [1, 3_426_354], 'they come from the cache')

  const city = { name: 'Bonn', country: 'DE', population: 10, lat: 50.7, lon: 7.1 }
  const { id } = await app.resources.cities.create(city)
  t.strictSame(await totals('DE'), [1, 10])
  await app.resources.cities.update({ id, country: 'AQ' })
  t.strictSame(
    [await totals('DE'), await totals('AQ')],
    [
      [0, 0],
      [1, 10],
    ],
  )
  await app.resources.cities.remove({ id })
  t.strictSame(await totals('AQ'), [0, 0])
  t.strictSame((await app.inject('/countries/AQ')).json().data.totals, { cities: 0, population: 0 })
})
