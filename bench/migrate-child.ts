import Fastify from 'fastify'
import database from '../plugins/database.ts'
import { createMigrator } from '../src/database/migrator.ts'

// A process that applies the migrations of a folder once, and says how many milliseconds that took: everything
// `manage migrate` does but start.
const [url = '', directory = ''] = process.argv.slice(2)
const app = Fastify()
app.register(database, { url })
await app.ready()
const began = performance.now()
await createMigrator({ db: app.db, directory }).migrate()
process.send?.(performance.now() - began)
await app.close()
process.disconnect()
