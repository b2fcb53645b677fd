import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from './helper.ts'

test('__TITLE__', async (t) => {
  const app = await createTestApp(t)
  assert.equal((await app.inject('/ping')).statusCode, 200)
})
