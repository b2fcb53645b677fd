import Fastify from 'fastify'
import database from '../../plugins/database.ts'
import { createMigrator } from '../../src/database/migrator.ts'

// A process that migrates when its parent says so, and tells it what it has applied.
const [url = '', directory = ''] = process.argv.slice(2)
const app = Fastify()
app.register(database, { url })
await app.ready()
process.send?.('ready')
await new Promise((resolve) => process.once('message', resolve))
const results = await createMigrator({ db: app.db, directory }).migrate()
process.send?.(results.map(({ name }) => name))
await app.close()
process.disconnect()
