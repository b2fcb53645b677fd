import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from './helper.ts'

test('__TITLE__ are written and read', async (t) => {
  const app = await createTestApp(t)
  const { create, retrieve } = app.resources.__CAMEL__
  // if auth
  const ann = app.as('ann')
  const { data: created } = await ann.send(create, { name: 'One' })
  const { data: read } = await ann.send(retrieve, { id: created.id })
  // end
  // if auth=none
  const { data: created } = await app.send(create, { name: 'One' })
  const { data: read } = await app.send(retrieve, { id: created.id })
  // end
  assert.equal(read.name, 'One')
})
