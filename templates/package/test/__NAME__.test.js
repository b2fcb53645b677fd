import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createApp } from 'plinth'
import service from './service/src/service.ts'

test('two uses of __NAME__ in a service', async (t) => {
  const root = fileURLToPath(new URL('service', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), '__NAME__-'))
  const env = {
    NODE_ENV: 'test',
    DATABASE_URL: `sqlite:${join(folder, 'test.db')}`,
    __UPPER___SOURCE: 'one',
    OTHER___UPPER___SOURCE: 'two',
  }
  const manage = (...args) =>
    execFileSync('manage', args, {
      env: { ...process.env, ...env, PLINTH_SERVICE: root },
      encoding: 'utf8',
    })
  manage('migrate')
  const app = await createApp(service, { root, env, logger: false })
  t.after(async () => {
    await app.close()
    rmSync(folder, { recursive: true })
  })
  const add = async (url) => {
    const answer = await app.inject({ method: 'POST', url, payload: { text: 'Hello' } })
    assert.equal(answer.statusCode, 201, answer.body)
    return answer.json().data.source
  }
  assert.equal(await add('/__NAME__'), 'one')
  assert.equal(await add('/other/__NAME__'), 'two')
  assert.equal((await app.inject('/readyz')).statusCode, 200)
  assert.equal(manage('__NAME__', 'count'), '2\n')
})
