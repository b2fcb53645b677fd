import t from 'tap'
import { cacheChanges } from './cache-changes.ts'
import type { CacheDriver } from './cache-fixture.ts'
import { cacheLoads } from './cache-loads.ts'
import { cacheLocks } from './cache-locks.ts'
import { cacheStale } from './cache-stale.ts'
import { cacheValues } from './cache-values.ts'

/** What every cache does. */
export function cacheSuite(driver: CacheDriver): void {
  t.test(`a cache in ${driver.name}`, async (t) => {
    await cacheValues(t, driver)
    await cacheStale(t, driver)
    await cacheChanges(t, driver)
    await cacheLoads(t, driver)
    await cacheLocks(t, driver)
  })
}
