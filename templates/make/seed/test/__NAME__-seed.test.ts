import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApp } from './helper.ts'

test('the seed __NAME__ adds nothing twice', async (t) => {
  const app = await createTestApp(t)
  const names = ['__FILE__']
  await app.seed({ names })
  const [again] = await app.seed({ names, again: true })
  assert.equal(again?.added, 0)
})
