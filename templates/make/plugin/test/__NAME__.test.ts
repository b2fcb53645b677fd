import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from './helper.ts'

test('the plugin __NAME__', async (t) => {
  const app = await createTestApp(t)
  assert.equal(app.__CAMEL__.greeting, 'Hello')
})
