import assert from 'node:assert/strict'
import { test } from 'node:test'
// if auth
import { as, createTestApp } from './helper.ts'
// end
// if auth=none
import { createTestApp } from './helper.ts'
// end

test('__TITLE__ are written and read', async (t) => {
  const app = await createTestApp(t)
  // if auth
  const headers = as('ann')
  const created = await app.inject({
    method: 'POST',
    url: '/__NAME__',
    headers,
    payload: { name: 'One' },
  })
  assert.equal(created.statusCode, 201, created.body)
  const read = await app.inject({ url: `/__NAME__/${created.json().data.id}`, headers })
  // end
  // if auth=none
  const created = await app.inject({
    method: 'POST',
    url: '/__NAME__',
    payload: { name: 'One' },
  })
  assert.equal(created.statusCode, 201, created.body)
  const read = await app.inject(`/__NAME__/${created.json().data.id}`)
  // end
  assert.equal(read.json().data.name, 'One')
})
