import t from 'tap'
import { Type } from 'typebox'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { createTables } from '../database/model/fixture.ts'
import { createService } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { onEveryDatabase } from './rows-of.ts'

const Project = defineModel('project', {
  columns: { id: Type.Integer(), name: Type.String({ maxLength: 20 }) },
  generated: ['id'],
})
const Task = defineModel('task', {
  columns: {
    id: Type.Integer(),
    project: Type.Integer({ minimum: 1 }),
    title: Type.String({ maxLength: 20 }),
    done: Type.Boolean({ default: false }),
    version: Type.Integer(),
  },
  generated: ['id'],
  indexes: [['project']],
  foreignKeys: { project: 'project.id' },
  audit: true,
})
/** Its key has what it is part of. */
const Stay = defineModel('stay', {
  columns: {
    city: Type.String({ maxLength: 10 }),
    guest: Type.String({ maxLength: 10 }),
    nights: Type.Integer({ default: 1 }),
  },
  primaryKey: ['city', 'guest'],
})
const models = [Project, Task, Stay]

const tasks = modelResources(Task, {
  within: ['project'],
  version: 'version',
  list: { filters: { done: 'equals' }, order: ['title'] },
})
const stays = modelResources(Stay, { within: ['city'], list: { pages: 'cursor', pageSize: 1 } })
const projects = modelResources(Project)
const modules = {
  projects: defineModule({
    prefix: '/projects',
    resources: projects,
    modules: { tasks: defineModule({ prefix: '/:project/tasks', resources: tasks }) },
  }),
  stays: defineModule({ prefix: '/cities/:city/stays', resources: stays }),
}

onEveryDatabase(t, 'rows of one thing', { models, modules }, async (t, as) => {
  const send = as.bind(undefined, 'ann')
  for (const name of ['a', 'b']) await send('POST', '/projects', { name })
  t.match(await send('POST', '/projects/1/tasks', { title: 'one' }), {
    status: 201,
    data: { id: 1, project: 1, title: 'one', done: false },
  })
  await send('POST', '/projects/2/tasks', { title: 'two' })
  await send('POST', '/projects/1/tasks', { title: 'three', done: true })
  const titles = async (url: string) =>
    ((await send('GET', url)).data as { results: { title: string }[] }).results.map((r) => r.title)
  t.strictSame(await titles('/projects/1/tasks?order=title'), ['one', 'three'])
  t.strictSame(await titles('/projects/2/tasks'), ['two'])
  t.strictSame(await titles('/projects/1/tasks?done=true'), ['three'])
  t.strictSame(await titles('/projects/9/tasks'), [])

  t.match(await send('GET', '/projects/1/tasks/1'), { status: 200, data: { title: 'one' } })
  const gone = { status: 404, code: 'NOT_FOUND', message: 'There is no task 1' }
  t.match(await send('GET', '/projects/2/tasks/1'), gone)
  t.match(await send('PATCH', '/projects/2/tasks/1', { title: 'x' }), gone, 'nor is it moved')
  t.match(await send('PUT', '/projects/2/tasks/1', { title: 'x' }), gone)
  t.match(await send('DELETE', '/projects/2/tasks/1'), gone)
  const { etag } = await send('GET', '/projects/1/tasks/1')
  const match = { 'if-match': etag as string }
  t.match(await send('PATCH', '/projects/2/tasks/1', { title: 'x' }, match), { status: 412 })
  t.match(await send('GET', '/projects/1/tasks/1'), { data: { title: 'one', project: 1 } })

  t.match(await send('PATCH', '/projects/1/tasks/1', { title: 'uno' }, match), {
    status: 200,
    data: { id: 1, project: 1, title: 'uno' },
  })
  t.match(await send('PUT', '/projects/1/tasks/1', { title: 'eins' }), {
    status: 200,
    data: { project: 1, title: 'eins', done: false },
  })
  const unknown = [{ path: '/project', message: 'is not known here' }]
  t.match(await send('PATCH', '/projects/1/tasks/1', { project: 2 }), {
    status: 400,
    errors: unknown,
  })
  t.match(await send('POST', '/projects/1/tasks', { title: 'x', project: 2 }), { errors: unknown })
  t.match(await send('GET', '/projects/1/tasks?project=2'), { errors: unknown })
  t.match(await send('GET', '/projects/x/tasks'), {
    status: 400,
    errors: [{ path: '/project', message: 'must be integer' }],
  })
  t.match(await send('POST', '/projects/9/tasks', { title: 'x' }), {
    status: 400,
    errors: [{ path: '/project' }],
  })
  t.match(await send('POST', '/projects/1/tasks/bulk', [{ title: 'x' }]), { status: 405 })
  t.match(await send('DELETE', '/projects/1/tasks/1'), { status: 200 })
  t.match(await send('GET', '/projects/1/tasks/1'), gone)
})

onEveryDatabase(t, 'a key of both', { models, modules }, async (t, as, app) => {
  const send = as.bind(undefined, 'ann')
  for (const [city, guest] of [
    ['oslo', 'ann'],
    ['oslo', 'bob'],
    ['rome', 'ann'],
  ])
    t.match(await send('POST', `/cities/${city}/stays`, { guest }), {
      status: 201,
      data: { city, guest },
    })
  t.match(await send('POST', '/cities/oslo/stays', { guest: 'ann' }), { status: 409 })
  t.match(await send('PATCH', '/cities/rome/stays/ann', { nights: 3 }), {
    data: { city: 'rome', nights: 3 },
  })
  t.match(await send('GET', '/cities/oslo/stays/ann'), { data: { nights: 1 } })
  t.match(await send('GET', '/cities/rome/stays/bob'), { status: 404 })
  await app.run(async () => {
    const first = await stays.list({ city: 'oslo' })
    const second = await stays.list({ city: 'oslo', cursor: first.next_cursor as string })
    t.strictSame(
      [...first.results, ...second.results].map(({ guest }) => guest),
      ['ann', 'bob'],
    )
    t.equal(second.next_cursor, null)
    await t.rejects(stays.list({ city: 'rome', cursor: first.next_cursor as string }), {
      errors: [{ path: '/cursor' }],
    })
  })
})

for (const driver of databaseDrivers) {
  t.test(`in process, of another service and in the document (${driver.name})`, async (t) => {
    const service = { name: 'work', models, modules }
    const url = await driver.url(t)
    const { app } = await createService(t, {}, { ...service, variables: { DATABASE_URL: url } })
    await createTables(app.db, driver, models)
    await app.run(async () => {
      await projects.create({ name: 'a' })
      const made = await tasks.create({ project: 1, title: 'one', done: false })
      t.equal(made.project, 1)
      const both = await tasks.create.bulk([
        { project: 1, title: 'two', done: false },
        { project: 1, title: 'three', done: false },
      ])
      t.equal(both.length, 2)
      t.equal((await tasks.list({ project: 1 })).total, 3)
      // @ts-expect-error it is of a project
      await t.rejects(tasks.list({}), { errors: [{ path: '/project', message: 'is required' }] })
      // @ts-expect-error it is of a project
      await t.rejects(tasks.retrieve({ id: 1 }), { code: 'INVALID_REQUEST' })
      await t.rejects(tasks.retrieve({ project: 2, id: 1 }), { code: 'NOT_FOUND' })
      t.match(await tasks.update({ project: 1, id: 1, title: 'uno' }), { title: 'uno', project: 1 })
    })
    const client = createClient<typeof service>({
      url: await app.listen({ host: '127.0.0.1', port: 0 }),
      retry: false,
    })
    const caller = await createService(t, {}, { name: 'caller' })
    await caller.app.run(async () => {
      const found = await client.projects.tasks.list({ project: 1, order: 'title' })
      t.strictSame(
        found.results.map(({ title }) => title),
        ['three', 'two', 'uno'],
      )
      t.match(await client.projects.tasks.create({ project: 1, title: 'four', done: false }), {
        project: 1,
      })
      await t.rejects(client.projects.tasks.remove({ project: 2, id: 1 }), { code: 'NOT_FOUND' })
    })
    const { paths } = (await app.inject('/openapi.json')).json()
    const one = paths['/projects/{project}/tasks/{id}']
    t.strictSame(Object.keys(one).toSorted(), ['delete', 'get', 'patch', 'put'])
    const inPath = (operation: { parameters: { name: string; in: string; required: boolean }[] }) =>
      operation.parameters.filter((p) => p.in === 'path' && p.required).map((p) => p.name)
    t.strictSame(inPath(one.patch), ['project', 'id'])
    t.strictSame(inPath(paths['/projects/{project}/tasks'].get), ['project'])
    t.notOk('/projects/{project}/tasks/bulk' in paths)
  })
}

t.test('what cannot be meant so is refused', async (t) => {
  t.throws(() => modelResources(Task, { within: ['project'], fields: { hidden: ['project'] } }), {
    code: 'RESOURCE_INVALID',
    message: /within names project, which no client sees/,
  })
  t.throws(() => modelResources(Task, { within: ['project'], only: ['list', 'createMany'] }), {
    message: /only names createMany; there are list, retrieve, remove, create, replace, update/,
  })
})
