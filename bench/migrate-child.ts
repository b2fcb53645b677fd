import Fastify from 'fastify'
import database from 'plinth/plugins/database'

// A process that applies the migrations of a folder once with the built kit, and says how many milliseconds that took:
// everything `manage migrate` does but start.
const [url = '', directory = ''] = process.argv.slice(2)
const built = new URL('../dist/src/database/migration/migrator.js', import.meta.url)
const { createMigrator }: typeof import('../src/database/migration/migrator.ts') = await import(
  built.href
)
const app = Fastify()
app.register(database, { url, queryTimeout: 0 })
await app.ready()
const began = performance.now()
await createMigrator({ db: app.db, directory }).migrate()
process.send?.(performance.now() - began)
await app.close()
process.disconnect()
