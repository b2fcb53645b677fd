import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Test } from 'tap'
import { execute } from '../servers/mysql.ts'

/** A database that behaviour suites run on. */
export interface DatabaseDriver {
  readonly name: 'sqlite' | 'mysql'
  /**
   * Makes a fresh, empty database for this test, dropped when it ends. Returns its URL.
   * SQLite's file is in `t.testdir()`: a test that calls that itself empties the folder.
   */
  url(t: Test): Promise<string>
}

/** Every database that the kit supports: suites loop over them. */
export const databaseDrivers: readonly DatabaseDriver[] = [
  {
    name: 'sqlite',
    url: async (t) => `sqlite:${join(t.testdir(), 'test.db')}`,
  },
  {
    name: 'mysql',
    async url(t) {
      const server = variable('TEST_MYSQL_URL')
      const name = `plinth_test_${randomUUID().replaceAll('-', '_')}`
      await execute(server, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`)
      t.teardown(() => execute(server, `DROP DATABASE IF EXISTS ${name}`))
      return Object.assign(new URL(server), { pathname: `/${name}` }).href
    },
  },
]

/** The URL of the Redis server that all tests share: keep to keys of your own. */
export const redisUrl = (): string => variable('TEST_REDIS_URL')

/** For what is not about a Redis that is late: on a busy machine each of them is, now and then. */
export const PATIENT = { commandTimeout: 10_000 }

/** The same of /readyz, which asks a database, too. */
export const PATIENT_HEALTH = { timeout: 10_000 }

/** The same of a service. */
export const PATIENT_ENV = { REDIS_TIMEOUT: `${PATIENT.commandTimeout}` }

function variable(name: string): string {
  const value = process.env[name]
  if (value) return value
  throw new Error(`${name} is not set: this test needs servers, so run it with npm test -- FILE`)
}
