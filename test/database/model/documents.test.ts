import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ServiceDefinition } from '../../../src/define-service.ts'
import { createApp } from '../../../src/service.ts'
import { databaseDrivers } from '../../helpers/drivers.ts'
import { createTables } from './fixture.ts'

const text = readFileSync(new URL('../../../docs/models.md', import.meta.url), 'utf8')
const BLOCK = /^```ts\n\/\/ (\S+\.ts)\n([\s\S]*?)^```$/gm

/** Writes the examples of the document next to the packages that they import. */
function write(t: Test): string {
  const folder = `${t.testdirName}-files`
  for (const [, path = '', code = ''] of text.matchAll(BLOCK)) {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, code)
  }
  return folder
}

for (const driver of databaseDrivers) {
  t.test(`the examples run on ${driver.name}`, async (t) => {
    const url = await driver.url(t)
    const folder = write(t)
    const load = (path: string) => import(pathToFileURL(join(folder, path)).href)
    const { default: service } = (await load('src/service.ts')) as { default: ServiceDefinition }
    const app = (await createApp(service, {
      root: folder,
      env: { NODE_ENV: 'test', DATABASE_URL: url },
      logger: false,
    })) as unknown as FastifyInstance
    t.teardown(() => app.close())
    await createTables(app.db, driver, service.models ?? [])

    const post = (path: string, payload: object) =>
      app.inject({ method: 'POST', url: path, payload })
    t.equal((await post('/countries', { code: 'FR', name: 'France' })).statusCode, 201)
    const ys = { name: 'Ys', country: 'FR', population: 0, founded: '0400-01-01T00:00:00Z' }
    const { data } = (await post('/cities', ys)).json()
    t.match(data, {
      id: 1,
      kind: 'town',
      created_by: 'import',
      founded: '0400-01-01T00:00:00.000Z',
    })
    const page = await app.inject('/cities?country=FR&search=y&order=-population&fields=name')
    t.match(page.json().data, { total: 1, results: [{ name: 'Ys' }] })

    const { tidy } = await load('src/cities/deleted.ts')
    t.match(await tidy(app.db, new Date()), [{ name: 'Ys', deleted_at: /^2/ }])
    t.equal((await app.inject('/cities/1')).statusCode, 200, 'it is restored')
  })
}
