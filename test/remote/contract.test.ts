import t from 'tap'
import { Type } from 'typebox'
import { asContract, type ServiceContract } from '../../src/remote/contract.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService } from '../helpers/app.ts'

const City = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })

const update = defineResource({
  summary: 'Rename',
  method: 'PUT',
  path: '/:id',
  request: Type.Object({
    ...City.properties,
    dry: Type.Optional(Type.Boolean()),
    tags: Type.Array(Type.String()),
  }),
  query: ['dry'],
  response: City,
  errors: [{ code: 'CITY_CLOSED', statusCode: 409 }],
  status: 202,
  perform: ({ id, name }) => ({ id, name }),
})
const search = defineResource({
  summary: 'Search',
  request: Type.Object({ name: Type.String(), page: Type.Integer({ default: 1 }) }),
  response: Type.Array(City),
  perform: () => [],
})
const upload = defineResource({
  summary: 'Upload',
  method: 'POST',
  path: '/upload',
  consumes: { 'multipart/form-data': Type.Object({}) },
  perform: () => null,
})
const hidden = defineResource({
  summary: 'Hidden',
  path: '/hidden',
  expose: false,
  perform: () => null,
})

const modules = {
  towns: defineModule({ prefix: '/towns', resources: { search } }),
  cities: defineModule({ prefix: '/cities', async: true, resources: { update, upload, hidden } }),
}

const EMPTY = { type: 'object', properties: {}, additionalProperties: false }

t.test('a contract has all that a caller needs, sorted by name', async (t) => {
  const { app } = await createService(t, {}, { name: 'atlas', version: '2.1.0', modules })
  const answer = await app.inject('/contract.json')
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  const { resources, ...service } = answer.json<ServiceContract>()
  t.strictSame(service, {
    contract: 1,
    service: 'atlas',
    version: '2.1.0',
    envelope: 'standard',
    tasks: '/tasks',
  })
  const id = { type: 'integer', minimum: 1 }
  const name = { type: 'string' }
  const city = { type: 'object', required: ['id', 'name'], properties: { id, name } }
  t.strictSame(Object.keys(resources), ['cities.update', 'cities.upload', 'towns.search'])
  t.strictSame(resources, {
    'cities.update': {
      method: 'PUT',
      path: '/cities/:id',
      query: ['dry'],
      request: {
        type: 'object',
        required: ['id', 'name', 'tags'],
        properties: {
          id,
          name,
          dry: { type: 'boolean' },
          tags: { type: 'array', items: { type: 'string' } },
        },
        additionalProperties: false,
      },
      response: city,
      status: 202,
      errors: [{ code: 'CITY_CLOSED', status: 409 }],
      async: true,
    },
    'cities.upload': {
      method: 'POST',
      path: '/cities/upload',
      query: [],
      request: EMPTY,
      response: { type: 'null' },
      status: 200,
      errors: [],
      async: true,
      consumes: ['multipart/form-data'],
    },
    'towns.search': {
      method: 'GET',
      path: '/towns',
      query: ['name', 'page'],
      request: {
        type: 'object',
        required: ['name', 'page'],
        properties: { name, page: { type: 'integer', default: 1 } },
        additionalProperties: false,
      },
      response: { type: 'array', items: city },
      status: 200,
      errors: [],
      async: false,
    },
  })
  t.equal(asContract(answer.json()).service, 'atlas')
  const headers = { 'if-none-match': String(answer.headers.etag) }
  t.equal((await app.inject({ url: '/contract.json', headers })).statusCode, 304)
})

t.test('as BlueKing answers, and what a process does not serve is not in it', async (t) => {
  const variables = { PLINTH_MODULES: 'cities' }
  const options = { modules, compat: 'bk', routes: { tasks: false }, variables } as const
  const { app } = await createService(t, {}, options)
  const { envelope, tasks, resources } = (
    await app.inject('/contract.json')
  ).json<ServiceContract>()
  t.strictSame(
    [envelope, tasks, Object.keys(resources)],
    ['bk', null, ['cities.update', 'cities.upload']],
  )
  t.equal(resources['cities.update']?.status, 200)
})

t.test('it is off in production, and who may read it can be decided', async (t) => {
  const production = await createService(t, {}, { variables: { NODE_ENV: 'production' } })
  t.equal((await production.app.inject('/contract.json')).statusCode, 404)
  const auth = { routes: { contract: { auth: 'required' } } } as const
  const { app } = await createService(t, {}, { auth })
  t.equal((await app.inject('/contract.json')).statusCode, 401)
  const open = await createService(t, {}, { auth: true })
  t.equal((await open.app.inject('/contract.json')).statusCode, 200)
})

t.test('what is no contract says why', async (t) => {
  for (const value of [null, 'x', {}, { contract: 1 }, { contract: 1, service: 'a' }])
    t.throws(() => asContract(value), { message: /no contract as manage contract export/ })
  t.throws(() => asContract({ contract: 2, service: 'a', resources: {} }), {
    message: 'its form is 2, this release reads 1',
  })
})
