import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import type { AnyTables } from '../../src/crud/model-write.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Model } from '../../src/database/model/types.ts'
import type { Context } from '../../src/resource/context.ts'
import { defineModule } from '../../src/resource/module.ts'
import { type AnyResource, defineResource } from '../../src/resource/resource.ts'
import { createTables } from '../database/model/fixture.ts'
import { createGate } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'

const name = Type.String({ maxLength: 20 })
const Numbered = defineModel('numbered', {
  columns: { id: Type.Integer({ minimum: 1 }), name, version: Type.Integer() },
  generated: ['id'],
  softDelete: true,
})
const Stamped = defineModel('stamped', {
  columns: { id: Type.Integer({ minimum: 1 }), name },
  generated: ['id'],
  audit: ['updated_at'],
})
const Plain = defineModel('plain', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    name,
    big: Type.Integer({ default: 1 }),
    pin: Type.String({ maxLength: 9, default: '' }),
  },
  generated: ['id'],
})
const models: readonly Model[] = [Numbered, Stamped, Plain]
const numbered = modelResources(Numbered, { version: 'version' })
// Nobody has to say it: both have one.
const stamped = modelResources(Stamped)
const plain = modelResources(Plain, { fields: { writeOnly: ['pin'] } })
const demanding = modelResources(Plain, { requireMatch: true })

/** The same, whose work begins when the conditions of this many requests have been looked at. */
function together(resource: AnyResource, requests: number) {
  let gate = createGate()
  let arrived = 0
  const { definition } = resource
  return defineResource({
    ...definition,
    path: `${definition.path}/together`,
    async etag(key: never, context: Context) {
      const tag = await definition.etag?.(key, context)
      if (++arrived % requests === 0) {
        gate.open()
        gate = createGate()
      } else await gate.opened
      return tag
    },
  } as never)
}

const modules = {
  numbered: defineModule({
    prefix: '/numbered',
    resources: { ...numbered, together: together(numbered.replace, 4) },
  }),
  stamped: defineModule({
    prefix: '/stamped',
    resources: { ...stamped, together: together(stamped.replace, 4) },
  }),
  plain: defineModule({
    prefix: '/plain',
    resources: { ...plain, together: together(plain.replace, 4) },
  }),
  loose: defineModule({ prefix: '/loose', resources: modelResources(Stamped, { version: false }) }),
  strict: defineModule({
    prefix: '/strict',
    resources: demanding,
  }),
}

function onEveryDatabase(name: string, test: (t: Test, app: FastifyInstance) => Promise<void>) {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const app = Fastify()
      t.teardown(() => app.close())
      app.register(envelope)
      app.register(database, { url: await driver.url(t), models })
      app.register(resources, { modules, strict: true })
      await app.ready()
      await createTables(app.db, driver, models)
      await test(t, app)
    })
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

async function send(
  app: FastifyInstance,
  method: Method,
  url: string,
  payload?: object,
  headers: Record<string, string> = {},
) {
  const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
  const { data, code } = answer.json()
  return { status: answer.statusCode, etag: answer.headers.etag, data, code }
}

for (const kind of ['numbered', 'stamped', 'plain'] as const) {
  onEveryDatabase(`of changes at the same time one wins: ${kind}`, async (t, app) => {
    await send(app, 'POST', `/${kind}`, { name: 'first' })
    const { etag } = await send(app, 'GET', `/${kind}/1`)
    const put = (name: string) =>
      send(app, 'PUT', `/${kind}/1/together`, { name }, { 'if-match': String(etag) })
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map(put))
    const won = answers.filter(({ status }) => status === 200)
    t.equal(won.length, 1)
    t.strictSame(
      answers.filter(({ status }) => status !== 200).map(({ status, code }) => [status, code]),
      Array.from({ length: 3 }, () => [412, 'PRECONDITION_FAILED']),
    )
    const after = await send(app, 'GET', `/${kind}/1`)
    t.strictSame(after.data, won[0]?.data, 'the row is what the winner was answered')
    t.not(after.etag, etag)
  })

  onEveryDatabase(`conditions hold for each way to change: ${kind}`, async (t, app) => {
    await send(app, 'POST', `/${kind}`, { name: 'first' })
    const path = `/${kind}/1`
    const { etag: first } = await send(app, 'GET', path)
    const stale = { 'if-match': String(first) }
    t.match(await send(app, 'PATCH', path, { name: 'second' }, stale), {
      status: 200,
      data: { name: 'second' },
    })
    t.equal((await send(app, 'PATCH', path, { name: 'third' }, stale)).status, 412)
    t.equal((await send(app, 'DELETE', path, undefined, stale)).status, 412)
    t.match(await send(app, 'GET', path), { data: { name: 'second' } })
    t.equal((await send(app, 'PUT', path, { name: 'any' }, { 'if-match': '*' })).status, 200)
    const { etag } = await send(app, 'GET', path)
    const unchanged = await app.inject({ url: path, headers: { 'if-none-match': String(etag) } })
    t.equal(unchanged.statusCode, 304)
    const fresh = { 'if-match': String(etag) }
    t.equal((await send(app, 'DELETE', path, undefined, fresh)).status, 200)
    t.equal((await send(app, 'DELETE', path, undefined, fresh)).status, 412)
    t.equal((await send(app, 'PUT', path, { name: 'x' })).status, 404)
  })
}

onEveryDatabase('a number is raised by every change, and no client says it', async (t, app) => {
  await send(app, 'POST', '/numbered/bulk', [{ name: 'a' }, { name: 'b' }])
  t.match(await send(app, 'PATCH', '/numbered/2', { name: 'c' }), { data: { version: 2 } })
  t.match(await send(app, 'PUT', '/numbered/2', { name: 'd' }), { data: { version: 3 } })
  t.match(await send(app, 'GET', '/numbered/2'), { etag: '"3"', data: { name: 'd', version: 3 } })
  t.match(await send(app, 'GET', '/numbered/1'), { etag: '"1"', data: { name: 'a', version: 1 } })
  for (const [method, path] of [
    ['PUT', '/numbered/1'],
    ['POST', '/numbered'],
  ] as const)
    t.equal((await send(app, method, path, { name: 'x', version: 9 })).status, 400)
})

onEveryDatabase('without a column for it, what clients see of a row tells', async (t, app) => {
  const big = 9_007_199_254_740_993n
  await send(app, 'POST', '/plain', { name: 'a' })
  const { etag } = await send(app, 'GET', '/plain/1')
  t.match(etag, /^"[\w-]{22}"$/)
  const tables = app.db as unknown as AnyTables
  await tables.updateTable('plain').set({ pin: 'other' }).execute()
  t.equal((await send(app, 'GET', '/plain/1')).etag, etag, 'what they do not see tells nothing')
  await tables.updateTable('plain').set({ big }).execute()
  const other = await send(app, 'GET', '/plain/1')
  t.not(other.etag, etag)
  t.equal((await send(app, 'GET', '/plain/1')).etag, other.etag)
  const put = (tag = '') => send(app, 'PATCH', '/plain/1', { name: 'b' }, { 'if-match': tag })
  t.equal((await put(etag)).status, 412)
  t.match(await tables.selectFrom('plain').select('name').execute(), [{ name: 'a' }])
  t.equal((await put(other.etag)).status, 200)
  t.match(await tables.selectFrom('plain').select('name').execute(), [{ name: 'b' }])
})

onEveryDatabase('a condition may be left out, demanded or of no meaning', async (t, app) => {
  await send(app, 'POST', '/strict', { name: 'a' })
  for (const [method, body] of [
    ['PUT', { name: 'b' }],
    ['PATCH', { name: 'b' }],
    ['DELETE', undefined],
  ] as const) {
    const told = await send(app, method, '/strict/1', body)
    t.match(told, { status: 428, code: 'PRECONDITION_REQUIRED' }, method)
    const other = await send(app, method, '/strict/1', body, { 'if-none-match': '"x"' })
    t.equal(other.status, 428, method)
  }
  const { etag, data } = await send(app, 'GET', '/strict/1')
  t.match(data, { name: 'a' })
  const fresh = { 'if-match': String(etag) }
  t.equal((await send(app, 'PUT', '/strict/1', { name: 'b' }, fresh)).status, 200)
  t.equal((await send(app, 'DELETE', '/strict/1', undefined, fresh)).status, 412)
  t.equal((await send(app, 'DELETE', '/strict/1', undefined, { 'if-match': '*' })).status, 200)
  await send(app, 'POST', '/loose', { name: 'a' })
  t.equal((await send(app, 'GET', '/loose/1')).etag, undefined)
  const { status } = await send(app, 'PUT', '/loose/1', { name: 'b' }, { 'if-match': '"x"' })
  t.equal(status, 200)
  await app.run(async () => {
    const { id } = await demanding.create({ name: 'in process', big: 1, pin: '' })
    t.match(await demanding.update({ id, name: 'too' }), { name: 'too' })
  })
})

onEveryDatabase('in process there is no condition', async (t, app) => {
  await app.run(async () => {
    await numbered.create({ name: 'a' })
    await numbered.update({ id: 1, name: 'b' })
    t.match(await numbered.retrieve({ id: 1 }), { name: 'b', version: 2 })
  })
})

t.test('a version is a number, or the time of the last change', async (t) => {
  t.throws(() => modelResources(Stamped, { version: 'name' }), {
    code: 'RESOURCE_INVALID',
    message: /its version is name; expected a column of integers, or updated_at of audit/,
  })
  t.throws(() => modelResources(Plain, { version: false, requireMatch: true }), {
    code: 'RESOURCE_INVALID',
    message: /it has requireMatch, and no version to match/,
  })
})
