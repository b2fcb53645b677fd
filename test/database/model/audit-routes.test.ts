import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../../plugins/database.ts'
import resources from '../../../plugins/resources.ts'
import { currentContext } from '../../../src/resource/context.ts'
import { defineModule } from '../../../src/resource/module.ts'
import { defineResource } from '../../../src/resource/resource.ts'
import { type DatabaseDriver, databaseDrivers } from '../../helpers/drivers.ts'
import { City, Country, createTables } from './fixture.ts'

const models = [Country, City]

interface Row {
  name: string
  created_by: string | null
  updated_by: string | null
}

function onEvery(t: Test, name: string, test: (t: Test, driver: DatabaseDriver) => Promise<void>) {
  for (const driver of databaseDrivers) t.test(`${name} (${driver.name})`, (t) => test(t, driver))
}

const add = defineResource({
  summary: 'Add',
  method: 'POST',
  request: Type.Object({ name: Type.String() }),
  async perform({ name }, { db }) {
    await insert(db as never, name)
    return null
  },
})

async function insert(db: FastifyInstance['db'], name: string): Promise<void> {
  await db
    .insertInto('city' as never)
    .values({ name, country: 'FR' } as never)
    .execute()
}

/** An app whose `x-user` asks, with routes of its own. */
async function open(t: Test, driver: DatabaseDriver, withResources: boolean) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(database, { url: await driver.url(t), models, actor: () => 'cron' })
  app.addHook('onRequest', async (request) => {
    const sub = request.headers['x-user']
    if (sub) Object.assign(request, { user: { sub, role: 'x' } })
    if (sub === 'nobody') Object.assign(request, { user: { role: 'x' } })
  })
  // Before the plugin above is loaded: routes of the app itself are there at once.
  app.post<{ Body: { name: string } }>('/early/:name', async (request) => {
    await new Promise(setImmediate)
    await insert(app.db, request.body.name)
  })
  if (withResources) {
    const things = defineModule({ prefix: '/things', resources: { add } })
    app.register(resources, { modules: { things } })
  }
  app.register(async (scope) => {
    scope.addHook('preHandler', async (request) => {
      if (request.method === 'PUT') await insert(app.db, 'by a hook')
    })
    scope.put('/hooked', async () => null)
    scope.patch<{ Body: { name: string } }>('/late', async (request, reply) => {
      const { name } = request.body
      await app.db.transaction().execute(async (transaction) => {
        const change = transaction.updateTable('city' as never).set({ name: 'renamed' } as never)
        await change.where('name' as never, '=', name as never).execute()
      })
      return reply.send({ requestId: currentContext()?.requestId, id: request.id })
    })
    scope.post<{ Body: { name: string } }>('/calls', async (request) => {
      const { name } = request.body
      await app.resources.things?.add?.({ name })
    })
  })
  await app.ready()
  await createTables(app.db, driver, models)
  await app.db
    .insertInto('country' as never)
    .values({ code: 'FR', name: 'x' } as never)
    .execute()
  return app
}

async function rows(app: FastifyInstance): Promise<Row[]> {
  const query = app.db
    .selectFrom('city' as never)
    .select(['name', 'created_by', 'updated_by'] as never)
  return (await query.orderBy('id' as never).execute()) as Row[]
}

const by = (user: string | undefined) => (user === undefined ? {} : { 'x-user': user })

for (const withResources of [false, true]) {
  const name = withResources ? 'beside resources' : 'of the database alone'
  onEvery(t, `what a plain route does is done by who asks, ${name}`, async (t, driver) => {
    const app = await open(t, driver, withResources)
    const send = async (
      method: 'POST' | 'PUT' | 'PATCH',
      url: string,
      user?: string,
      name = url,
    ) => {
      const payload = { name }
      const response = await app.inject({ method, url, headers: by(user), payload })
      t.equal(response.statusCode, 200, url)
      return response.body ? response.json() : undefined
    }
    await Promise.all([send('POST', '/early/a', 'ann', 'a'), send('POST', '/early/b', 'bob', 'b')])
    await send('POST', '/early/c', undefined, 'c')
    await send('PUT', '/hooked', 'eve')
    const told = await send('PATCH', '/late', 'eve', 'a')
    t.equal(told.requestId, told.id)
    await insert(app.db, 'outside')
    if (withResources) {
      await send('POST', '/calls', 'ann', 'called')
      await send('POST', '/things', 'bob', 'served')
      await send('POST', '/things', undefined, 'unknown')
    }
    const found = (await rows(app)).toSorted((a, b) => a.name.localeCompare(b.name))
    const row = (name: string, created_by: string, updated_by = created_by) => ({
      name,
      created_by,
      updated_by,
    })
    t.strictSame(found, [
      row('b', 'bob'),
      row('by a hook', 'eve'),
      row('c', 'cron'),
      ...(withResources ? [row('called', 'ann')] : []),
      row('outside', 'cron'),
      row('renamed', 'ann', 'eve'),
      ...(withResources ? [row('served', 'bob'), row('unknown', 'cron')] : []),
    ])
  })
}

onEvery(t, 'nothing is written for a user without an id', async (t, driver) => {
  const app = await open(t, driver, false)
  const payload = { name: 'x' }
  const headers = by('nobody')
  const response = await app.inject({ method: 'POST', url: '/early/x', headers, payload })
  t.match(response.json(), { statusCode: 500, code: 'USER_INVALID' })
  t.strictSame(await rows(app), [])
})
