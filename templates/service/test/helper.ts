import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type TestApp, testApp } from 'plinth/testing'
import service from '../src/service.ts'

/** The service on a database of its own, migrated and empty, until `t` ends. */
export async function createTestApp(t: TestContext): Promise<TestApp<typeof service.modules>> {
  return await testApp(service, {
    t,
    root: fileURLToPath(new URL('..', import.meta.url)),
    // if database=sqlite
    database: 'sqlite',
    // end
    // if database=mysql
    // A server is needed: its URL is in TEST_DATABASE_URL, or that of compose.yaml.
    database: process.env.TEST_DATABASE_URL ?? 'mysql://root:root@127.0.0.1:3306',
    // end
    // if auth=jwt
    env: { JWT_KEY: 'a secret of the tests, and of nobody else', JWT_AUDIENCE: '__NAME__' },
    // end
    // if auth=bk
    env: { BK_LOGIN_URL: 'http://127.0.0.1:1/login' },
    // end
  })
}
