import { defineSamples } from 'plinth/auth'

/** Who gets what, for `manage check --auth`: with a review of ann's, who is of another tenant than cleo. */
export default defineSamples({
  users: {
    nobody: null,
    ann: { id: 'north/ann' },
    bob: { id: 'north/bob' },
    cleo: { id: 'south/cleo' },
    admin: { id: 'north/root', role: 'admin' },
  },
  async requests({ db }) {
    const place = { lat: 0, lon: 0, flag: '🏳️', region: 'Oceania', capital: null, subregion: null }
    await db
      .insertInto('country')
      .values({ code: 'ZZ', name: 'Nowhere', area: 1, ...place })
      .execute()
    const city = await db
      .insertInto('city')
      .values({ name: 'Ys', country: 'ZZ', population: 1, lat: 0, lon: 0 })
      .executeTakeFirstOrThrow()
    const review = await db
      .insertInto('review')
      .values({
        city: Number(city.insertId),
        tenant: 'north',
        stars: 5,
        text: 'Under water.',
        created_by: 'north/ann',
      })
      .executeTakeFirstOrThrow()
    const id = Number(review.insertId)
    return {
      'cities.remove': { id: Number(city.insertId) },
      'reviews.retrieve': { id },
      'reviews.update': { id, stars: 1 },
      'reviews.remove': { id },
      'audit.list': {},
      'audit.retrieve': { id: 1 },
    }
  },
  expected: {
    'cities.remove': { nobody: 401, ann: 403, admin: 'yes' },
    'reviews.retrieve': { nobody: 401, ann: 'yes', bob: 'yes', cleo: 404, admin: 'yes' },
    'reviews.update': { nobody: 401, ann: 'yes', bob: 404, cleo: 404, admin: 404 },
    'reviews.remove': { nobody: 401, ann: 'yes', bob: 404, cleo: 404, admin: 'yes' },
    'audit.list': { nobody: 401, ann: 403, admin: 'yes' },
  },
})
