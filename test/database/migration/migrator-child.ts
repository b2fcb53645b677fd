import Fastify from 'fastify'
import database from '../../../plugins/database.ts'
import type { LockKind } from '../../../src/database/migration/lock.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'

// A process that migrates when its parent says so, and tells it what it has applied.
const [url = '', directory = '', lock] = process.argv.slice(2)
const app = Fastify()
app.register(database, { url })
await app.ready()
process.send?.('ready')
await new Promise((resolve) => process.once('message', resolve))
const results = await createMigrator({ db: app.db, directory }).migrate({
  lock: lock as LockKind | undefined,
})
process.send?.(results.map(({ name }) => name))
await app.close()
process.disconnect()
