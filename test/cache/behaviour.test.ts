import { cacheSuite } from '../suites/cache.ts'
import { cacheDrivers } from '../suites/cache-fixture.ts'

for (const driver of cacheDrivers) cacheSuite(driver)
