import assert from 'node:assert/strict'
import { test } from 'node:test'
import { factory } from 'plinth/testing'
import { __PASCAL__ } from '../src/__MODULE__/__NAME__.ts'
import { createTestApp } from './helper.ts'

/** Its table is there once bin/manage makemigrations has written how it is made. */
test('a row of __SNAKE__ is kept as it is', async (t) => {
  const app = await createTestApp(t)
  const made = await factory(__PASCAL__).create(app.db, { name: 'One' })
  assert.equal(made.name, 'One')
})
