import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from './helper.ts'

test('notes are written, found, changed and taken away', async (t) => {
  const app = await createTestApp(t)
  const { create, retrieve, remove } = app.resources.notes
  // if auth
  const ann = app.as('ann')
  const { data: note } = await ann.send(create, { title: 'Water the plants', text: '' })
  // end
  // if auth=none
  const { data: note } = await app.send(create, { title: 'Water the plants', text: '' })
  // end
  const { id } = note

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
  assert.equal((await app.as('bob').send(remove, { id })).statusCode, 404, 'it is not his')
  assert.equal((await app.send(remove, { id })).statusCode, 401)
  assert.equal((await ann.send(remove, { id })).statusCode, 200)
  // end
  // if auth=none
  assert.equal((await app.send(remove, { id })).statusCode, 200)
  // end
  assert.equal((await app.send(retrieve, { id })).statusCode, 404)
})

test('a note without a title is refused', async (t) => {
  const app = await createTestApp(t)
  // if auth
  const answer = await app.as('ann').send(app.resources.notes.create, { title: '', text: '' })
  // end
  // if auth=none
  const answer = await app.send(app.resources.notes.create, { title: '', text: '' })
  // end
  assert.equal(answer.statusCode, 400)
  assert.match(JSON.stringify(answer.failure?.errors), /"\/title"/)
})
