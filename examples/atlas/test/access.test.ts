import { tryOperations } from 'plinth/auth'
import t, { type Test } from 'tap'
import { type Atlas, addCities, admin, ann, bob, cleo, onEveryDatabase } from './helper.ts'

const city = { name: 'Ys', country: 'FR', population: 1, lat: 48, lon: -4 }

/** Where there is one of several, it is ann's. */
const requests = {
  'cities.list': {},
  'cities.nearest': { lat: 48, lon: 2 },
  'cities.retrieve': { id: 3 },
  'cities.create': city,
  'cities.replace': { id: 3, ...city },
  'cities.update': { id: 3, population: 7 },
  'cities.remove': { id: 3 },
  'cities.importAll': { country: 'AQ' },
  'cities.distances': { from: 1, to: [2] },
  'countries.list': {},
  'countries.retrieve': { code: 'FR' },
  'countries.totals': { code: 'FR' },
  'statistics.list': {},
  'reviews.list': {},
  'reviews.retrieve': { id: 1 },
  'reviews.create': { city: 1, stars: 1, text: 'Crowded.' },
  'reviews.update': { id: 1, stars: 1 },
  'reviews.remove': { id: 1 },
  'audit.list': {},
  'audit.retrieve': { id: 1 },
}

const everybody = (status: number) => ({
  nobody: status,
  ann: status,
  bob: status,
  cleo: status,
  admin: status,
})
const users = (status: number) => ({ ...everybody(status), nobody: 401 })
const admins = (status: number) => ({ ...users(403), admin: status })

async function whoMayCallWhat(t: Test, app: Atlas): Promise<void> {
  const callers = {
    nobody: {},
    ann: app.as(ann),
    bob: app.as(bob),
    cleo: app.as(cleo),
    admin: app.as(admin),
  }
  const before = await rows(app)
  const changed: Record<string, string[]> = {}
  const seen: Record<string, number[]> = {}
  const matrix = await tryOperations(app, {
    callers,
    requests,
    before: () => app.reset(),
    async after({ operation, caller, answer }) {
      const after = await rows(app)
      if (after !== before) changed[operation] = [...(changed[operation] ?? []), caller]
      if (operation === 'reviews.list' && answer.statusCode === 200)
        seen[caller] = answer.json().data.results.map(({ id }: { id: number }) => id)
      if (operation.startsWith('reviews.')) t.notMatch(answer.body, /tenant/)
    },
  })

  t.strictSame(matrix, {
    'cities.list': everybody(200),
    'cities.nearest': everybody(200),
    'cities.retrieve': everybody(200),
    'cities.create': users(201),
    'cities.replace': users(200),
    'cities.update': users(200),
    'cities.remove': admins(200),
    'cities.importAll': users(200),
    'cities.distances': everybody(202),
    'countries.list': everybody(200),
    'countries.retrieve': everybody(200),
    'countries.totals': everybody(200),
    'statistics.list': everybody(200),
    'reviews.list': users(200),
    'reviews.retrieve': { ...users(200), cleo: 404 },
    'reviews.create': users(201),
    'reviews.update': { ...users(404), ann: 200 },
    'reviews.remove': { ...users(404), ann: 200, admin: 200 },
    'audit.list': admins(200),
    'audit.retrieve': admins(200),
  })
  const some = ['ann', 'bob', 'cleo', 'admin']
  t.strictSame(changed, {
    'cities.create': some,
    'cities.replace': some,
    'cities.update': some,
    'cities.remove': ['admin'],
    'cities.importAll': some,
    'reviews.create': some,
    'reviews.update': ['ann'],
    'reviews.remove': ['ann', 'admin'],
  })
  t.strictSame(seen, { ann: [1], bob: [1], cleo: [2], admin: [1, 2] })

  const { 'audit.list': _, ...others } = requests
  await t.rejects(tryOperations(app, { callers, requests: others }), /audit\.list.*add one/)
}

const now = new Date('2026-01-02T03:04:05.678Z')
const review = { city: 1, text: 'Walk along the canal.', created_at: now, updated_at: now }
const reviews = [
  { ...review, id: 1, tenant: 'north', stars: 5, created_by: 'north/ann', updated_by: 'north/ann' },
  {
    ...review,
    id: 2,
    tenant: 'south',
    stars: 4,
    created_by: 'south/cleo',
    updated_by: 'south/cleo',
  },
]
const entry = {
  id: 1,
  table_name: 'review',
  row_key: '1',
  action: 'create',
  request_id: 'r',
} as const

async function addReviews(app: Atlas): Promise<void> {
  await addCities(app)
  const { db } = app
  await db.insertInto('review').values(reviews).execute()
  await db
    .insertInto('audit_log')
    .values({ ...entry, created_at: now })
    .execute()
}

/** All that can be changed. */
async function rows({ db }: Atlas): Promise<string> {
  return JSON.stringify([
    await db.selectFrom('city').selectAll().orderBy('id').execute(),
    await db.selectFrom('review').selectAll().orderBy('id').execute(),
  ])
}

onEveryDatabase(t, 'who may call what, and which rows that changes', whoMayCallWhat, {
  setUp: addReviews,
})
