import type { Test } from 'tap'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

export interface Place {
  service: string
  url: string
  /** The name of the database, or of its file. */
  name: string
  run(args: string, env?: Record<string, string>): ReturnType<typeof manage>
}

/** Runs `test` with a service of these files on every database: MySQL's is there and empty, SQLite's file is not there. */
export function atEveryPlace(
  t: Test,
  name: string,
  files: Record<string, string>,
  test: (t: Test, place: Place, driver: DatabaseDriver) => Promise<void>,
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const url = await driver.url(t)
      const service = writeService(t, files)
      // Nothing is said of a statement that was slow on a busy machine.
      const all = { DATABASE_URL: url, DATABASE_SLOW_QUERY: '0' }
      const run = (args: string, env = {}) =>
        manage(t, args.split(' '), { service, env: { ...all, ...env } })
      const name = url.slice(url.lastIndexOf('/') + 1)
      await test(t, { service, url, name, run }, driver)
    })
  }
}
