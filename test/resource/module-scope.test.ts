import fp from 'fastify-plugin'
import t from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createBareApp } from '../helpers/app.ts'

const echo = () =>
  defineResource({
    summary: 'What the context of its module has',
    response: Type.Boolean(),
    perform: (_, { request }) => request?.server.hasDecorator('audit') ?? false,
  })

t.test('plugins and hooks of a module stay in it, and in the modules within it', async (t) => {
  const said: string[] = []
  const audit = fp(async (scope) => void scope.decorate('audit', true))
  const admin = defineModule({
    prefix: '/admin',
    plugins: [audit],
    hooks: {
      onRequest: async (request) => {
        if (request.headers.authorization !== 'yes') throw errors.FORBIDDEN()
      },
      onResponse: [async () => void said.push('one'), async () => void said.push('two')],
    },
    resources: { echo: echo() },
    modules: { users: defineModule({ prefix: '/users', resources: { list: echo() } }) },
  })
  const open = defineModule({ prefix: '/open', resources: { echo: echo() } })
  const app = await createBareApp(t, { admin, open })
  const get = async (url: string, authorization = 'yes') => {
    const { statusCode, json } = await app.inject({ url, headers: { authorization } })
    return [statusCode, json().data]
  }
  t.strictSame(await get('/open', 'no'), [200, false])
  t.strictSame(said, [])
  t.strictSame(await get('/admin', 'no'), [403, null])
  t.strictSame(await get('/admin/users', 'no'), [403, null])
  t.strictSame(await get('/admin'), [200, true])
  t.strictSame(await get('/admin/users'), [200, true])
  t.strictSame(said, ['one', 'two', 'one', 'two', 'one', 'two', 'one', 'two'])
})
