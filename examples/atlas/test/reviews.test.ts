import type { User } from 'plinth'
import t from 'tap'
import { type Atlas, admin, ann, bob, cleo, onEveryDatabase } from './helper.ts'

const review = { city: 1, stars: 5, text: 'Walk along the canal.' }

async function write(app: Atlas, user: User) {
  return (await app.as(user).send(app.resources.reviews.create, review)).data
}

onEveryDatabase(t, "a review is its tenant's, and does not tell which that is", async (t, app) => {
  const { id, ...written } = await write(app, ann)
  t.match(written, { ...review, created_by: 'north/ann', updated_by: 'north/ann' })
  t.notOk('tenant' in written)
  t.match(await app.db.selectFrom('review').selectAll().execute(), [{ id, tenant: 'north' }])

  const names = async (user: User | null, query = '') => {
    const answer = await app.as(user).inject(`/reviews${query}`)
    const { data } = answer.json()
    return (
      data?.results.map(({ created_by }: { created_by: string }) => created_by) ?? answer.statusCode
    )
  }
  await write(app, cleo)
  t.strictSame(await names(bob), ['north/ann'])
  t.strictSame(await names(cleo), ['south/cleo'])
  t.strictSame(await names(cleo, '?search=canal&city=1'), ['south/cleo'])
  t.strictSame(await names(admin), ['north/ann', 'south/cleo'])
  t.equal(await names(ann, '?tenant=south'), 400, 'what is hidden is no filter')
  t.equal(await names(null), 401)
})

onEveryDatabase(t, 'nobody says whose a review is', async (t, app) => {
  for (const more of [{ tenant: 'south' }, { created_by: 'north/bob' }, { id: 7 }]) {
    const payload = { ...review, ...more }
    const answer = await app.as(ann).inject({ method: 'POST', url: '/reviews', payload })
    t.equal(answer.statusCode, 400, JSON.stringify(more))
  }
  t.strictSame(await app.db.selectFrom('review').select('id').execute(), [])
})

onEveryDatabase(t, 'the audit log tells admins who has changed a review', async (t, app) => {
  const { id } = await write(app, ann)
  const url = `/reviews/${id}`
  await app.as(ann).inject({ method: 'PATCH', url, payload: { stars: 4 } })
  await app.as(admin).inject({ method: 'DELETE', url })
  const entries = await app.as(admin).inject(`/audit?table=review&key=${id}`)
  t.match(entries.json().data.results, [
    {
      action: 'create',
      created_by: 'north/ann',
      before: null,
      after: { tenant: 'north', stars: 5 },
    },
    { action: 'change', created_by: 'north/ann', before: { stars: 5 }, after: { stars: 4 } },
    { action: 'delete', created_by: 'north/root', before: { stars: 4 }, after: null },
  ])
  t.equal((await app.as(ann).inject('/audit')).statusCode, 403)
})

onEveryDatabase(t, 'the reviews of a city go with it', async (t, app) => {
  await write(app, ann)
  const answer = await app.as(admin).inject({ method: 'DELETE', url: '/cities/1' })
  t.equal(answer.statusCode, 200)
  t.strictSame(await app.db.selectFrom('review').select('id').execute(), [])
})
