import t from 'tap'
import { CITY_COUNT, readCities } from '../src/data/cities.ts'
import { ann, onEveryDatabase } from './helper.ts'

onEveryDatabase(t, 'imports cities as a task, and tells how far it is', async (t, app) => {
  const known = Array.from(readCities()).filter(({ country }) => country === 'FJ').length
  const before = (await app.resources.countries.totals({ code: 'FJ' })).cities
  const asked = await app.as(ann).inject({
    method: 'POST',
    url: '/cities/import',
    headers: { 'x-async-task': '1' },
    payload: { country: 'FJ' },
  })
  const { task_id } = asked.json().data
  t.match(await app.tasks.drain(), [
    { id: task_id, user: ann.id, state: 'succeeded', result: { read: known, added: known } },
  ])
  t.match((await app.as(ann).inject(`/tasks/${task_id}`)).json().data, {
    task_id,
    is_completed: true,
    state: 'succeeded',
    data: { read: known, added: known },
  })
  t.strictSame((await app.tasks.find(task_id)).progress, {
    state: 'importing',
    message: `${known} of ${CITY_COUNT}`,
    data: { read: known, added: known },
  })
  t.equal((await app.resources.countries.totals({ code: 'FJ' })).cities, before + known)
  const again = await app.resources.cities.importAll.enqueue({ country: 'FJ' })
  t.strictSame(await again.result(), { read: known, added: 0 })
})

onEveryDatabase(t, 'computes the statistics of a day, once', async (t, app) => {
  const [first, second] = [
    await app.resources.statistics.compute.enqueue(),
    await app.resources.statistics.compute.enqueue(),
  ]
  const row = { countries: 3, cities: 6, population: 6_070_350 }
  t.match(await first.result(), row)
  t.match(await second.result(), row)
  await app.resources.cities.remove({ id: 4 })
  const last = await app.resources.statistics.compute()
  t.match(last, { countries: 2, cities: 5 })
  t.strictSame((await app.inject('/statistics')).json().data.results, [last])
})

onEveryDatabase(t, 'the statistics are computed each night', async (t, app) => {
  await app.clock.set('2026-03-01T02:00:00Z')
  await app.clock.advance(26 * 3_600_000)
  t.match((await app.inject('/statistics')).json().data.results, [
    { day: '2026-03-01', computed_at: '2026-03-01T03:00:00.000Z', cities: 6 },
    { day: '2026-03-02', computed_at: '2026-03-02T03:00:00.000Z', cities: 6 },
  ])
})

onEveryDatabase(t, 'the statistics of the largest cities that there can be', async (t, app) => {
  const largest = { country: 'FR', population: 2_000_000_000, lat: 0, lon: 0 }
  for (let i = 0; i < 12; i++) await app.resources.cities.create({ ...largest, name: `City ${i}` })
  const found = await app.resources.statistics.compute()
  t.ok(found.population > 24_000_000_000)
  const response = await app.inject('/statistics')
  t.equal(response.statusCode, 200)
  t.strictSame(response.json().data.results, [found])
})

onEveryDatabase(t, 'measures distances as a group of tasks', async (t, app) => {
  const to = [...Array(600).fill(3), 4, 99, 1]
  const response = await app.inject({
    method: 'POST',
    url: '/cities/distances',
    payload: { from: 1, to },
  })
  t.equal(response.statusCode, 202)
  const result = (await app.tasks.result(response.json().data.task_id)) as {
    id: number
    distance_km: number
  }[]
  t.strictSame(
    result.map(({ id }) => id),
    [...Array(600).fill(3), 4, 1],
    'in the order that was asked for, without what is not there',
  )
  const of = (id: number) => result.find((one) => one.id === id)?.distance_km ?? Number.NaN
  t.ok(Math.abs(of(3) - 391.5) < 2, `${of(3)} km to Lyon`)
  t.ok(Math.abs(of(4) - 878) < 2, `${of(4)} km to Berlin`)
  t.equal(of(1), 0)
})

onEveryDatabase(t, 'what is for tasks alone is not for the network', async (t, app) => {
  const calls = [
    ['/statistics', 405],
    ['/cities/distances/part', 404],
    ['/cities/distances/whole', 404],
  ] as const
  for (const [url, status] of calls) {
    const response = await app.inject({ method: 'POST', url, payload: { from: 1, to: [2] } })
    t.equal(response.statusCode, status, url)
  }
  const headers = { 'x-async-task': '1' }
  t.match((await app.inject({ url: '/cities', headers })).json(), { code: 'TASK_REFUSED' })
})
