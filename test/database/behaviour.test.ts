import { databaseDrivers } from '../helpers/drivers.ts'
import { databaseSuite } from '../suites/database.ts'

for (const driver of databaseDrivers) databaseSuite(driver)
