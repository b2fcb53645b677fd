import assert from 'node:assert/strict'
import { test } from 'node:test'
// if auth
import { as, createTestApp } from './helper.ts'
// end
// if auth=none
import { createTestApp } from './helper.ts'
// end

test('notes are written, found, changed and taken away', async (t) => {
  const app = await createTestApp(t)
  // if auth
  const ann = as('ann')
  // end
  const created = await app.inject({
    method: 'POST',
    url: '/notes',
    // if auth
    headers: ann,
    // end
    payload: { title: 'Water the plants' },
  })
  assert.equal(created.statusCode, 201, created.body)
  const { id } = created.json().data

  const found = await app.inject('/notes?search=water')
  assert.deepEqual(
    found.json().data.results.map((note: { id: number }) => note.id),
    [id],
  )
  assert.deepEqual(await app.resources.notes.count(), { notes: 1 })
  // if tasks
  assert.deepEqual(await app.resources.notes.report(), { notes: 1 })
  // end

  // if auth
  const url = `/notes/${id}`
  const bob = { method: 'DELETE', url, headers: as('bob') } as const
  assert.equal((await app.inject(bob)).statusCode, 404, 'it is not his')
  assert.equal((await app.inject({ method: 'DELETE', url })).statusCode, 401)
  assert.equal((await app.inject({ method: 'DELETE', url, headers: ann })).statusCode, 200)
  // end
  // if auth=none
  assert.equal((await app.inject({ method: 'DELETE', url: `/notes/${id}` })).statusCode, 200)
  // end
  assert.equal((await app.inject(`/notes/${id}`)).statusCode, 404)
})

test('a note without a title is refused', async (t) => {
  const app = await createTestApp(t)
  const answer = await app.inject({
    method: 'POST',
    url: '/notes',
    // if auth
    headers: as('ann'),
    // end
    payload: { title: '' },
  })
  assert.equal(answer.statusCode, 400)
  assert.deepEqual(
    answer.json().errors.map((error: { path: string }) => error.path),
    ['/title'],
  )
})
