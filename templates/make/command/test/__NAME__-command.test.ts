import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

test('manage __WORDS__', () => {
  const env = { ...process.env, DATABASE_URL: 'sqlite::memory:' }
  const told = execFileSync('bin/manage', [__ARGUMENTS__, '--json'], { env, encoding: 'utf8' })
  assert.deepEqual(JSON.parse(told), { limit: 10 })
})
