import t from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { timestamp } from '../../src/database/model/schemas.ts'
import { createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { createTables } from '../database/model/fixture.ts'
import { createService } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { onEveryDatabase } from './rows-of.ts'

const Job = defineModel('job', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 20 }),
    code: Type.String({ format: 'uuid' }),
    kind: Type.Enum(['bug', 'idea', 'chore']),
    worker: Type.Optional(Type.String({ maxLength: 20 })),
    due: Type.Optional(timestamp()),
  },
  generated: ['id'],
  indexes: [['kind'], ['worker']],
})

const jobs = modelResources(Job, {
  list: {
    filters: {
      kinds: { operator: 'in', column: 'kind' },
      not_kind: { operator: 'not', column: 'kind' },
      id: 'in',
      workers: { operator: 'in', column: 'worker' },
      not_worker: { operator: 'not', column: 'worker' },
      free: { operator: 'null', column: 'worker' },
      due: 'in',
      not_due: { operator: 'not', column: 'due' },
      code: 'in',
    },
  },
})
const modules = { jobs: defineModule({ prefix: '/jobs', resources: jobs }) }

const code = (n: number) => `0190000${n}-0000-7000-8000-000000000000`
const day = (n: number) => `2026-01-0${n}T12:00:00.000Z`
const rows = [
  { name: 'one', code: code(1), kind: 'bug', worker: 'ann', due: day(1) },
  { name: 'two', code: code(2), kind: 'idea', worker: 'bob', due: day(2) },
  { name: 'three', code: code(3), kind: 'chore', worker: null, due: null },
  { name: 'four', code: code(4), kind: 'bug', worker: null, due: day(1) },
] as const

onEveryDatabase(t, 'several values', { models: [Job], modules }, async (t, as, app) => {
  t.match(await as(undefined, 'POST', '/jobs/bulk', [...rows]), { status: 201 })
  const ids = async (query: string) => {
    const { status, data, errors } = await as(undefined, 'GET', `/jobs?${query}`)
    return status === 200
      ? (data as { results: { id: number }[] }).results.map((r) => r.id)
      : errors
  }
  t.strictSame(await ids('kinds=bug&kinds=idea'), [1, 2, 4], 'a key that is repeated is a list')
  t.strictSame(await ids('kinds=chore'), [3], 'one value is a list of one')
  t.strictSame(await ids('id=4&id=2&id=9&id=2&id=2'), [2, 4])
  t.strictSame(await ids('not_kind=bug&not_kind=chore'), [2])
  t.strictSame(await ids('workers=ann&workers=bob'), [1, 2])
  t.strictSame(await ids('not_worker=ann'), [2, 3, 4], 'nobody is not ann')
  t.strictSame(await ids('free=true'), [3, 4])
  t.strictSame(await ids('free=false'), [1, 2])
  t.strictSame(await ids('free=false&not_kind=bug'), [2], 'all of them hold')
  t.strictSame(await ids(`due=${day(1)}&due=2026-01-02T13:00:00%2B01:00`), [1, 2, 4])
  t.strictSame(await ids(`not_due=${day(1)}`), [2, 3])
  t.strictSame(await ids(`code=${code(2)}&code=${code(4)}`), [2, 4])
  t.strictSame(await ids('kinds=bug&kinds=joke'), [
    { path: '/kinds/1', message: 'must be one of bug, idea, chore' },
  ])
  t.strictSame(await ids('free=1'), [{ path: '/free', message: 'must be boolean' }])
  const many = Array.from({ length: 101 }, (_, i) => `id=${i}`).join('&')
  t.strictSame(await ids(many), [{ path: '/id', message: 'must NOT have more than 100 items' }])
  const hundred = Array.from({ length: 100 }, (_, i) => i + 4)
  const listed = (input: Parameters<typeof jobs.list>[0]) =>
    jobs.list(input).then(({ results }) => results.map(({ id }) => id))
  await app.run(async () => {
    t.strictSame(await listed({ id: hundred }), [4])
    t.strictSame(await listed({ kinds: ['idea'], free: false }), [2])
    await t.rejects(listed({ id: [] }), {
      errors: [{ path: '/id', message: 'must NOT have fewer than 1 items' }],
    })
    const found = await jobs.list.bulk([{ kinds: ['bug'] }, { not_kind: ['bug'] }])
    t.strictSame(
      found.map(({ total }) => total),
      [2, 2],
    )
  })
})

for (const driver of databaseDrivers) {
  t.test(`of another service, as a task and in the document (${driver.name})`, async (t) => {
    const service = { name: 'jobs', models: [Job], modules, async: true }
    const url = await driver.url(t)
    const { app } = await createService(t, {}, { ...service, variables: { DATABASE_URL: url } })
    await createTables(app.db, driver, [Job])
    await app.run(() => jobs.createMany(rows.map((row) => ({ ...row }))))
    const client = createClient<typeof service>({
      url: await app.listen({ host: '127.0.0.1', port: 0 }),
      retry: false,
    })
    const caller = await createService(t, {}, { name: 'caller' })
    const found = await caller.app.run(() =>
      client.jobs.list({ kinds: ['bug', 'idea'], not_worker: ['bob'] }),
    )
    t.strictSame(
      found.results.map(({ id }) => id),
      [1, 4],
    )
    const task = await app.run(() => jobs.list.enqueue({ free: true, kinds: ['bug'] }))
    t.match(await task.result(), { total: 1, results: [{ id: 4 }] })
    const { paths } = (await app.inject('/openapi.json')).json()
    const parameters: { name: string; schema: object; required: boolean }[] =
      paths['/jobs'].get.parameters
    t.match(
      parameters.find(({ name }) => name === 'kinds'),
      {
        in: 'query',
        required: false,
        schema: { type: 'array', items: { enum: ['bug', 'idea', 'chore'] }, maxItems: 100 },
      },
    )
    t.match(
      parameters.find(({ name }) => name === 'free'),
      { schema: { type: 'boolean' } },
    )
  })
}

t.test('what is never null is asked for by no filter', async (t) => {
  const Row = Type.Object({ id: Type.Integer(), name: Type.String() })
  const define = () =>
    defineList(Row, {
      filters: { nameless: { operator: 'null', column: 'name' } },
      order: ['id'],
      key: 'id',
    })
  t.throws(define, {
    code: 'RESOURCE_INVALID',
    message: /the filter nameless asks where name is null, and by its schema it never is/,
  })
})
