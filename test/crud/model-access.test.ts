import t from 'tap'
import { Type } from 'typebox'
import { definePermission } from '../../src/auth/permission.ts'
import type { ModelAction } from '../../src/crud/model-access.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { defineModule } from '../../src/resource/module.ts'
import { createTables } from '../database/model/fixture.ts'
import { createService } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { onEveryDatabase } from './rows-of.ts'

const text = Type.String({ maxLength: 20 })
const Page = defineModel('page', {
  columns: { id: Type.Integer({ minimum: 1 }), title: text },
  generated: ['id'],
})
const isAdmin = definePermission({
  name: 'isAdmin',
  reason: 'only admins may do this',
  allows: ({ user }) => user?.id === 'admin',
})
const pages = modelResources(Page, {
  auth: { list: 'public', retrieve: 'public' },
  permissions: { create: isAdmin, remove: [isAdmin] },
})
const modules = {
  pages: defineModule({ prefix: '/pages', auth: 'required', resources: pages }),
  admin: defineModule({
    prefix: '/admin',
    resources: modelResources(Page, { permissions: isAdmin, only: ['list', 'update'] }),
  }),
}

const requests = [
  ['list', 'GET', '/pages', undefined],
  ['retrieve', 'GET', '/pages/1', undefined],
  ['update', 'PATCH', '/pages/1', { title: 'b' }],
  ['replace', 'PUT', '/pages/1', { title: 'c' }],
  ['create', 'POST', '/pages', { title: 'd' }],
  ['createMany', 'POST', '/pages/bulk', [{ title: 'e' }]],
  ['remove', 'DELETE', '/pages/1', undefined],
] as const

onEveryDatabase(
  t,
  'who may do what',
  { models: [Page], modules, decides: true },
  async (t, as, app) => {
    await app.run(() => pages.create({ title: 'a' }))
    const matrix = async (user: string | undefined) => {
      const answers: string[] = []
      for (const [action, method, url, body] of requests)
        answers.push(`${action} ${(await as(user, method, url, body)).status}`)
      return answers
    }
    const closed = (status: number) => [
      'list 200',
      'retrieve 200',
      `update ${status === 401 ? 401 : 200}`,
      `replace ${status === 401 ? 401 : 200}`,
      `create ${status}`,
      `createMany ${status}`,
      `remove ${status}`,
    ]
    t.strictSame(await matrix(undefined), closed(401))
    t.strictSame(await matrix('ann'), closed(403))
    t.match(await as('ann', 'GET', '/pages'), { data: { results: [{ id: 1, title: 'c' }] } })
    t.strictSame(await matrix('admin'), [
      'list 200',
      'retrieve 200',
      'update 200',
      'replace 200',
      'create 201',
      'createMany 201',
      'remove 200',
    ])
    t.match(await as('ann', 'GET', '/admin'), { status: 403 })
    t.match(await as('admin', 'GET', '/admin'), { status: 200 })
  },
)

t.test('what is said of one way to write is said of the other', (t) => {
  const said = (access: object) => {
    const made = modelResources(Page, access as never) as typeof pages
    return Object.entries(made).flatMap(([name, { definition }]) =>
      definition.permissions || definition.auth ? [name] : [],
    )
  }
  const cases: [ModelAction, ModelAction[]][] = [
    ['create', ['create', 'createMany']],
    ['createMany', ['create', 'createMany']],
    ['update', ['replace', 'update']],
    ['replace', ['replace', 'update']],
    ['list', ['list']],
  ]
  for (const [action, names] of cases) {
    t.strictSame(said({ permissions: { [action]: isAdmin } }), names)
    t.strictSame(said({ auth: { [action]: 'required' } }), names)
  }
  const { create, createMany } = modelResources(Page, {
    auth: { create: 'required', createMany: 'public' },
  })
  t.strictSame([create.definition.auth, createMany.definition.auth], ['required', 'public'])
  for (const access of [{ permissions: { delete: isAdmin } }, { auth: { delete: 'required' } }])
    t.throws(() => said(access), {
      code: 'RESOURCE_INVALID',
      message:
        /of page.*who may delete, and there is none of that name; there are list, export, retrieve/,
    })
  t.end()
})

t.test('each may be asked for so often', async (t) => {
  const [driver] = databaseDrivers
  if (driver?.name !== 'sqlite') throw new Error('the first database is SQLite')
  const limit = (max: number) => ({ by: 'all', max, duration: 3_600_000 }) as const
  const each = modelResources(Page, {
    auth: 'public',
    rateLimits: { list: limit(2), create: [limit(1)], remove: false },
  })
  const all = modelResources(Page, { auth: 'public', rateLimits: limit(1) })
  const { app } = await createService(
    t,
    {},
    {
      auth: true,
      models: [Page],
      modules: {
        pages: defineModule({ prefix: '/pages', rateLimits: limit(7), resources: each }),
        others: defineModule({ prefix: '/others', resources: all }),
      },
      rateLimits: [],
      variables: { DATABASE_URL: await driver.url(t) },
    },
  )
  await createTables(app.db, driver, [Page])
  const ask = async (method: 'GET' | 'POST' | 'DELETE' | 'PATCH', url: string, payload?: object) =>
    (await app.inject({ method, url, ...(payload && { payload }) })).statusCode

  const { headers } = await app.inject('/pages')
  t.equal(headers['ratelimit-policy'], '"pages.* all";q=7;w=3600, "pages.list all";q=2;w=3600')
  t.strictSame([await ask('GET', '/pages'), await ask('GET', '/pages')], [200, 429])
  const page = { title: 'a' }
  t.strictSame([await ask('POST', '/pages', page), await ask('POST', '/pages', page)], [201, 429])
  const many = () => ask('POST', '/pages/bulk', [page])
  t.strictSame([await many(), await many()], [201, 429], 'what is said of create; by itself')
  const other = () => ask('GET', '/pages/1')
  t.strictSame([await other(), await other(), await other(), await other()], [200, 200, 200, 429])
  t.equal(await ask('PATCH', '/pages/1', page), 429, 'the module counts them all')
  t.equal(await ask('DELETE', '/pages/1'), 200, 'and not what is not limited')

  t.strictSame([await ask('GET', '/others'), await ask('GET', '/others')], [200, 429])
  t.strictSame([await ask('GET', '/others/2'), await ask('GET', '/others/2')], [200, 429])
  t.throws(() => modelResources(Page, { rateLimits: { delete: limit(1) } } as never), {
    code: 'RESOURCE_INVALID',
    message: /of page.*how often one may delete, and there is none of that name; there are list/,
  })
})
