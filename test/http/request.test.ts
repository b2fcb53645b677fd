import t from 'tap'
import { type TSchema, Type } from 'typebox'
import type { Method } from '../../src/resource/contract.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createBareApp, serveThings } from '../helpers/app.ts'

/** A resource that answers with the request it got. */
function echo(request: TSchema, definition: { method?: Method; path?: string; query?: string[] }) {
  return defineResource({
    summary: 'Echo',
    request,
    response: Type.Unknown(),
    perform: (given) => given,
    ...(definition as object),
  })
}

const Item = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  name: Type.String(),
  dry: Type.Optional(Type.Boolean()),
})

const invalid = (name: string, errors: { path: string; message: string }[]) => ({
  code: 'INVALID_REQUEST',
  message: `The request to things.${name} is not valid; see errors`,
  errors,
})

t.test('path, query and body become one request', async (t) => {
  const put = echo(Item, { method: 'PUT', path: '/:id', query: ['dry'] })
  const app = await serveThings(t, { put })
  const response = await app.inject({
    method: 'PUT',
    url: '/things/7?dry=true',
    payload: { name: 'x' },
  })
  t.equal(response.statusCode, 200)
  t.strictSame(response.json().data, { id: 7, name: 'x', dry: true })
})

t.test('a name comes from its own place only', async (t) => {
  const put = echo(Item, { method: 'PUT', path: '/:id', query: ['dry'] })
  const app = await serveThings(t, { put })
  const send = async (url: string, payload: object) =>
    (await app.inject({ method: 'PUT', url, payload })).json()
  t.match(
    await send('/things/7?dry=true', { name: 'x', id: 8, dry: false }),
    invalid('put', [
      { path: '/id', message: 'is not known here' },
      { path: '/dry', message: 'is not known here' },
    ]),
  )
  t.match(
    await send('/things/7?id=8&name=y', { name: 'x' }),
    invalid('put', [
      { path: '/id', message: 'is not known here' },
      { path: '/name', message: 'is not known here' },
    ]),
  )
})

t.test('path and query are text that becomes what the schema wants', async (t) => {
  const get = echo(
    Type.Object({
      id: Type.Integer(),
      ratio: Type.Optional(Type.Number()),
      dry: Type.Optional(Type.Boolean()),
      tags: Type.Optional(Type.Array(Type.Integer())),
      name: Type.Optional(Type.String()),
      page: Type.Integer({ default: 1 }),
    }),
    { path: '/:id' },
  )
  const app = await serveThings(t, { get })
  const data = async (url: string) => (await app.inject(url)).json().data
  t.strictSame(await data('/things/-12'), { id: -12, page: 1 })
  t.strictSame(await data('/things/1?ratio=0.5&dry=true&tags=3&page=2&name=7'), {
    id: 1,
    ratio: 0.5,
    dry: true,
    tags: [3],
    page: 2,
    name: '7',
  })
  t.strictSame(await data('/things/1?dry=false&tags=3&tags=4'), {
    id: 1,
    dry: false,
    tags: [3, 4],
    page: 1,
  })
  t.strictSame(await data('/things/1?name=a%20b%2B%C3%A9+c'), { id: 1, name: 'a b+é c', page: 1 })
})

t.test('numbers and booleans of path and query are written as in JSON', async (t) => {
  const get = echo(
    Type.Object({
      id: Type.Integer(),
      ratio: Type.Optional(Type.Number()),
      dry: Type.Optional(Type.Boolean()),
      ids: Type.Optional(Type.Array(Type.Integer())),
      least: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    }),
    { path: '/:id' },
  )
  const app = await serveThings(t, { get })
  for (const text of [
    '0x10',
    '0b1',
    '0o7',
    ' 1',
    '1 ',
    '\t1',
    '+1',
    '.5',
    '1.',
    '01',
    '1_0',
    '-',
    '--1',
  ]) {
    const encoded = encodeURIComponent(text)
    for (const [url, path, message] of [
      [`/things/${encoded}`, '/id', 'must be integer'],
      [`/things/1?ratio=${encoded}`, '/ratio', 'must be number'],
      [`/things/1?ids=1&ids=${encoded}`, '/ids/1', 'must be integer'],
      [`/things/1?least=${encoded}`, '/least', 'must be integer'],
    ] as const) {
      const { errors } = (await app.inject(url)).json()
      t.match(errors, [{ path, message }], url)
    }
  }
  for (const query of [
    'ratio=',
    'dry=',
    'dry=TRUE',
    'dry=1',
    'dry=%20true',
    'ids=',
    'ids=null',
    'ratio=true',
  ]) {
    t.equal((await app.inject(`/things/1?${query}`)).statusCode, 400, query)
  }
  for (const [url, data] of [
    ['/things/-0?ratio=-1.5e-3', { id: 0, ratio: -0.0015 }],
    ['/things/1e3?ratio=1.0', { id: 1000, ratio: 1 }],
    ['/things/1.0?least=', { id: 1, least: null }],
    ['/things/1?least=2&dry=false', { id: 1, least: 2, dry: false }],
  ] as const) {
    t.strictSame((await app.inject(url)).json().data, data, url)
  }
})

t.test('of a union the first member counts that the text fits', async (t) => {
  const get = echo(
    Type.Object({
      size: Type.Optional(Type.Union([Type.Integer({ maximum: 9 }), Type.Literal('all')])),
      name: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
      level: Type.Optional(Type.Union([Type.Literal(1), Type.Literal(2), Type.Literal(true)])),
      kind: Type.Optional(Type.Enum({ small: 1, large: 'L' })),
      even: Type.Optional(Type.Intersect([Type.Integer(), Type.Unsafe({ multipleOf: 2 })])),
      any: Type.Optional(Type.Unknown()),
    }),
    {},
  )
  const app = await serveThings(t, { get })
  const data = async (query: string) => (await app.inject(`/things?${query}`)).json().data
  t.strictSame(await data('size=5&name=5&level=2&kind=1&even=4&any=7'), {
    size: 5,
    name: '5',
    level: 2,
    kind: 1,
    even: 4,
    any: '7',
  })
  t.strictSame(await data('size=all&level=true&kind=L'), { size: 'all', level: true, kind: 'L' })
  for (const query of ['size=10', 'size=some', 'level=3', 'kind=small', 'even=3']) {
    t.equal((await app.inject(`/things?${query}`)).statusCode, 400, query)
  }
})

t.test('JSON bodies are taken as they are', async (t) => {
  const schema = Type.Object({
    n: Type.Integer(),
    b: Type.Boolean(),
    s: Type.String(),
    l: Type.Array(Type.Integer()),
  })
  const app = await serveThings(t, { post: echo(schema, { method: 'POST' }) })
  const response = await app.inject({
    method: 'POST',
    url: '/things',
    payload: { n: '1', b: 'true', s: 1, l: 1 },
  })
  t.equal(response.statusCode, 400)
  t.match(
    response.json(),
    invalid('post', [
      { path: '/n', message: 'must be integer' },
      { path: '/b', message: 'must be boolean' },
      { path: '/s', message: 'must be string' },
      { path: '/l', message: 'must be array' },
    ]),
  )
})

t.test('ids that are none are refused', async (t) => {
  const app = await serveThings(t, {
    get: echo(Type.Object({ id: Type.Integer() }), { path: '/:id' }),
  })
  for (const id of [
    'abc',
    '1.5',
    '1e400',
    '-1e400',
    'Infinity',
    'NaN',
    '1,2',
    '9007199254740992',
    '9223372036854775808',
  ]) {
    const response = await app.inject(`/things/${id}`)
    t.equal(response.statusCode, 400, id)
    t.match(response.json(), { code: 'INVALID_REQUEST', errors: [{ path: '/id' }] })
  }
  t.strictSame((await app.inject('/things/9007199254740991')).json().data, { id: 2 ** 53 - 1 })
})

t.test('numbers past what is finite are refused wherever they stand', async (t) => {
  const schema = Type.Object({ n: Type.Number() })
  const app = await serveThings(t, {
    get: echo(schema, {}),
    post: echo(schema, { method: 'POST' }),
  })
  t.equal((await app.inject('/things?n=1e400')).statusCode, 400)
  const headers = { 'content-type': 'application/json' }
  const post = (payload: string) => app.inject({ method: 'POST', url: '/things', headers, payload })
  t.equal((await post('{"n":1e400}')).statusCode, 400)
  t.equal((await post('{"n":1e300}')).statusCode, 200)
})

t.test('a key that is given twice says so, where no list is wanted', async (t) => {
  const schema = Type.Object({
    page: Type.Optional(Type.Integer()),
    ids: Type.Optional(Type.Array(Type.Integer(), { maxItems: 1 })),
  })
  const app = await serveThings(t, { get: echo(schema, {}) })
  t.match(
    (await app.inject('/things?page=1&page=2')).json(),
    invalid('get', [{ path: '/page', message: 'is given more than once' }]),
  )
  t.match(
    (await app.inject('/things?ids=1&ids=2')).json(),
    invalid('get', [{ path: '/ids', message: 'must NOT have more than 1 items' }]),
  )
})

t.test('an array is a body of its own', async (t) => {
  const app = await serveThings(t, {
    post: echo(Type.Array(Type.Object({ n: Type.Integer() })), { method: 'POST' }),
  })
  const post = (payload?: object) =>
    app.inject({ method: 'POST', url: '/things', ...(payload && { payload }) })
  t.strictSame((await post([{ n: 1 }, { n: 2 }])).json().data, [{ n: 1 }, { n: 2 }])
  t.match(
    (await post([{ n: 1 }, { n: 2, x: 1 }])).json(),
    invalid('post', [{ path: '/1/x', message: 'is not known here' }]),
  )
  t.match((await post({ n: 1 })).json(), invalid('post', [{ path: '', message: 'must be array' }]))
  t.match(
    (await post()).json(),
    invalid('post', [{ path: '', message: 'is missing: send a JSON body' }]),
  )
})

t.test('an absent body is an empty one where nothing in it is required', async (t) => {
  const optional = Type.Object(
    { id: Type.Integer(), n: Type.Integer({ default: 5 }) },
    { required: ['id'] },
  )
  const app = await serveThings(t, {
    post: echo(optional, { method: 'POST', path: '/:id' }),
    put: echo(Item, { method: 'PUT', path: '/:id' }),
  })
  const headers = { 'content-type': 'application/json' }
  t.strictSame((await app.inject({ method: 'POST', url: '/things/1' })).json().data, {
    id: 1,
    n: 5,
  })
  t.strictSame((await app.inject({ method: 'POST', url: '/things/1', headers })).json().data, {
    id: 1,
    n: 5,
  })
  const nothing = await app.inject({ method: 'POST', url: '/things/1', headers, payload: 'null' })
  t.match(nothing.json(), invalid('post', [{ path: '', message: 'must be object' }]))
  const missing = [{ path: '', message: 'is missing: send a JSON body' }]
  t.match((await app.inject({ method: 'PUT', url: '/things/1' })).json(), invalid('put', missing))
  t.match(
    (await app.inject({ method: 'PUT', url: '/things/1', headers })).json(),
    invalid('put', missing),
  )
})

t.test('a body that nothing reads is refused', async (t) => {
  const schema = Type.Object({ id: Type.Integer() })
  const app = await serveThings(t, { remove: echo(schema, { method: 'DELETE', path: '/:id' }) })
  const remove = (payload?: object) =>
    app.inject({ method: 'DELETE', url: '/things/1', ...(payload && { payload }) })
  t.equal((await remove()).statusCode, 200)
  t.equal((await remove({})).statusCode, 200)
  t.match(
    (await remove({ id: 2 })).json(),
    invalid('remove', [{ path: '', message: 'is not taken: send no body' }]),
  )
})

t.test('a prefix has path parameters, too', async (t) => {
  const schema = Type.Object({ country: Type.String(), id: Type.Integer() })
  const cities = defineModule({
    prefix: '/countries/:country/cities',
    resources: { get: echo(schema, { path: '/:id' }) },
  })
  const app = await createBareApp(t, { cities })
  t.strictSame((await app.inject('/countries/FR/cities/3')).json().data, { country: 'FR', id: 3 })
})

t.test('keys that reach for a prototype are refused', async (t) => {
  const open = Type.Object({ a: Type.Optional(Type.Unknown()) })
  const app = await serveThings(t, { get: echo(open, {}), post: echo(open, { method: 'POST' }) })
  const headers = { 'content-type': 'application/json' }
  for (const payload of [
    '{"__proto__":{"x":1}}',
    '{"a":{"__proto__":{"x":1}}}',
    '{"a":{"constructor":{"prototype":{"x":1}}}}',
  ]) {
    const response = await app.inject({ method: 'POST', url: '/things', headers, payload })
    t.match(response.json(), { result: false, code: 'BAD_REQUEST' }, payload)
    t.equal(response.statusCode, 400)
  }
  for (const key of ['__proto__', '__proto__[x]', 'constructor', 'constructor.prototype']) {
    const response = await app.inject(`/things?${encodeURIComponent(key)}=1`)
    t.match(response.json(), invalid('get', [{ path: `/${key}`, message: 'is not known here' }]))
  }
  t.equal(({} as { x?: unknown }).x, undefined)
})
