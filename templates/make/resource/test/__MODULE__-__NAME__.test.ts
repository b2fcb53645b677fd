import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from './helper.ts'

test('__MODULE_CAMEL__.__CAMEL__', async (t) => {
  const app = await createTestApp(t)
  assert.deepEqual(await app.resources.__MODULE_CAMEL__.__CAMEL__({ text: 'four' }), { length: 4 })
})
