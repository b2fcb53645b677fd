import type { Test } from 'tap'
import { type DatabaseTasksOptions, openDatabase } from '../../src/task/database.ts'
import type { TaskDriver } from '../../src/task/types.ts'
import { open } from '../database/fixture.ts'
import type { DatabaseDriver } from '../helpers/drivers.ts'

const QUIET = { info() {}, warn() {}, error() {} }

/** Opens drivers with the same tasks, in a database of this test; each has the connection of the test to it. */
export async function databaseTasks(
  t: Test,
  driver: DatabaseDriver,
  options: Partial<DatabaseTasksOptions> = {},
): Promise<{ url: string; again: () => TaskDriver }> {
  const url = await driver.url(t)
  const db = await open(t, url)
  const drivers: TaskDriver[] = []
  t.teardown(() => Promise.all(drivers.map((driver) => driver.close())))
  const again = () => {
    const made = openDatabase(db, { log: QUIET, lease: 1000, ...options })
    drivers.push(made)
    return made
  }
  return { url, again }
}
