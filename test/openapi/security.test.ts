import multipart from '@fastify/multipart'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import type { SecurityInfo } from '../../src/resource/security.ts'
import { createApp } from '../../src/service.ts'

const Form = Type.Object({
  title: Type.String(),
  file: Type.Unsafe<Buffer>({ contentMediaType: 'application/octet-stream' }),
})

const list = defineResource({
  summary: 'List',
  response: Type.Array(Type.String()),
  perform: () => [],
})
const open = defineResource({ summary: 'Open', path: '/open', security: [], perform: () => null })
const admin = defineResource({
  summary: 'Admin',
  path: '/admin',
  method: 'DELETE',
  security: [{ oauth: ['admin'] }],
  perform: () => null,
})
const uploadForm = defineResource({
  summary: 'Upload a form',
  path: '/form',
  method: 'POST',
  consumes: { 'multipart/form-data': Form },
  response: Type.Integer(),
  perform: async (_, { request }) => (await (await request?.file())?.toBuffer())?.length ?? 0,
})
const uploadBytes = defineResource({
  summary: 'Upload bytes',
  path: '/bytes/:name',
  method: 'PUT',
  consumes: { 'application/octet-stream': Type.Unsafe<Buffer>({}) },
  request: Type.Object({ name: Type.String() }),
  response: Type.Object({ name: Type.String(), size: Type.Integer() }),
  async perform({ name }, { request }) {
    let size = 0
    for await (const chunk of request?.raw ?? []) size += chunk.length
    return { name, size }
  },
})
const create = defineResource({
  summary: 'Create',
  method: 'POST',
  request: Type.Object({ name: Type.String() }),
  perform: () => null,
})

const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
  key: { type: 'apiKey', in: 'header', name: 'X-Key' },
  oauth: {
    type: 'oauth2',
    flows: {
      authorizationCode: {
        authorizationUrl: 'https://login.example/authorize',
        tokenUrl: 'https://login.example/token',
        scopes: { admin: 'Everything' },
      },
    },
  },
} as const

async function serve(t: Test, info: SecurityInfo): Promise<FastifyInstance> {
  const service = {
    name: 'secured',
    version: '1.0.0',
    ...info,
    modules: {
      things: defineModule({
        prefix: '/things',
        resources: { list, open, admin, uploadForm, uploadBytes, create },
      }),
      keyed: defineModule({
        prefix: '/keyed',
        security: [{ key: [] }, { bearer: [] }],
        resources: {
          other: defineResource(list.definition),
          everybody: defineResource(open.definition),
        },
      }),
    },
    plugins: [multipart as never],
  }
  const options = { root: t.testdir(), env: { NODE_ENV: 'test' }, logger: false as const }
  const app = (await createApp(service as never, options)) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.ready()
  return app
}

t.test('a document with security and uploads is valid, and tells them', async (t) => {
  const app = await serve(t, { securitySchemes, security: [{ bearer: [] }] })
  const document = (await app.inject('/openapi.json')).json()
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, JSON.stringify(errors))
  t.strictSame(document.components.securitySchemes, securitySchemes)
  t.strictSame(document.security, [{ bearer: [] }])
  const { paths } = document
  const of = (path: string, method = 'get') => {
    const { security, responses } = paths[path][method]
    return [security, '401' in responses, '403' in responses]
  }
  t.strictSame(of('/things'), [undefined, true, true], 'as the service says')
  t.strictSame(of('/things/open'), [[], false, false])
  t.strictSame(of('/things/admin', 'delete'), [[{ oauth: ['admin'] }], true, true])
  t.strictSame(of('/keyed'), [[{ key: [] }, { bearer: [] }], true, true], 'as its module says')
  t.strictSame(of('/keyed/open'), [[], false, false])
  t.strictSame(of('/ping'), [[], false, false])
  t.strictSame(paths['/things/form'].post.requestBody, {
    required: true,
    content: {
      'multipart/form-data': {
        schema: {
          type: 'object',
          required: ['title', 'file'],
          properties: {
            title: { type: 'string' },
            file: { contentMediaType: 'application/octet-stream' },
          },
        },
      },
    },
  })
  t.strictSame(paths['/things/bytes/{name}'].put.requestBody, {
    required: true,
    content: { 'application/octet-stream': { schema: {} } },
  })
  t.match(paths['/things/form'].post.responses, { 413: {}, 415: {} })
})

t.test('the document of a service without security says nothing of it', async (t) => {
  const document = (await (await serve(t, { securitySchemes })).inject('/openapi.json')).json()
  t.notOk('security' in document)
  t.notOk('401' in document.paths['/things'].get.responses)
})

t.test('a scheme that is not described stops the service', async (t) => {
  await t.rejects(serve(t, { securitySchemes: {}, security: [] }), {
    code: 'RESOURCE_INVALID',
    message:
      'The resource things.admin cannot be served: its security names oauth; securitySchemes has none',
  })
  await t.rejects(serve(t, { securitySchemes, security: [{ nope: [] }] }), {
    code: 'RESOURCE_INVALID',
    message: /its security names nope; securitySchemes has bearer, key, oauth/,
  })
})

t.test('uploads are read by their resource', async (t) => {
  const app = await serve(t, { securitySchemes })
  const form =
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nbytes\r\n--x--\r\n'
  const sent = await app.inject({
    method: 'POST',
    url: '/things/form',
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
    payload: form,
  })
  t.strictSame([sent.statusCode, sent.json().data], [200, 5])
  const bytes = await app.inject({
    method: 'PUT',
    url: '/things/bytes/a',
    headers: { 'content-type': 'application/octet-stream' },
    payload: Buffer.alloc(100_000),
  })
  t.strictSame(bytes.json().data, { name: 'a', size: 100_000 })
  const headers = { 'content-type': 'application/octet-stream' }
  const other = { method: 'POST', url: '/things', headers, payload: 'x' } as const
  t.equal((await app.inject(other)).statusCode, 400, 'not by others')
})
