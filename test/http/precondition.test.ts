import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { ResourceDefinition } from '../../src/resource/contract.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { serveThings } from '../helpers/app.ts'

const City = Type.Object({ id: Type.Integer(), name: Type.String() })
const Id = Type.Object({ id: Type.Integer() })
const changed = new Date('2026-03-04T05:06:07.890Z')
const date = {
  before: 'Wed, 04 Mar 2026 05:06:06 GMT',
  same: 'Wed, 04 Mar 2026 05:06:07 GMT',
  after: 'Wed, 04 Mar 2026 05:06:08 GMT',
}

type Validators = Pick<ResourceDefinition<typeof Id, typeof City>, 'etag' | 'lastModified'>

/** GET and PUT of a thing with `validators`; id 0 is not there. Counts how often each has been performed. */
async function serve(t: Test, validators: Validators) {
  const performed = { GET: 0, PUT: 0 }
  const define = (method: 'GET' | 'PUT') =>
    defineResource({
      summary: method,
      method,
      path: '/:id',
      request: Id,
      response: City,
      ...validators,
      perform({ id }) {
        performed[method] += 1
        return { id, name: 'x' }
      },
    })
  const app = await serveThings(t, { get: define('GET'), put: define('PUT') })
  const send = (method: 'GET' | 'HEAD' | 'PUT', headers: Record<string, string>, id = 1) =>
    app.inject({ method, url: `/things/${id}`, headers })
  const status = async (...args: Parameters<typeof send>) => (await send(...args)).statusCode
  return { send, status, performed }
}

const etag = ({ id }: { id: number }) => (id === 0 ? undefined : `v${id}`)
const lastModified = ({ id }: { id: number }) => (id === 0 ? undefined : changed)

t.test('a full answer has the validators', async (t) => {
  const { send } = await serve(t, { etag, lastModified })
  for (const method of ['GET', 'HEAD'] as const) {
    const { statusCode, headers } = await send(method, {})
    t.equal(statusCode, 200)
    t.match(headers, {
      etag: '"v1"',
      'last-modified': date.same,
      'cache-control': 'max-age=0, private',
    })
  }
  const { headers } = await send('PUT', {})
  t.notOk('etag' in headers || 'cache-control' in headers, 'of a change it would be the old one')
})

t.test('304 tells that nothing has changed, and nothing is performed', async (t) => {
  const { send, performed } = await serve(t, { etag, lastModified })
  for (const method of ['GET', 'HEAD'] as const) {
    const response = await send(method, { 'if-none-match': '"v1"' })
    t.equal(response.statusCode, 304)
    t.equal(response.body, '')
    t.match(response.headers, {
      etag: '"v1"',
      'last-modified': date.same,
      'cache-control': 'max-age=0, private',
    })
    t.notOk('content-type' in response.headers)
  }
  t.strictSame(performed, { GET: 0, PUT: 0 })
})

t.test('If-None-Match compares weakly, and takes lists', async (t) => {
  const { status } = await serve(t, { etag })
  for (const list of ['"v1"', 'W/"v1"', '"a", W/"v1"', '"a","v1"', '"a,b" , "v1"', '*']) {
    t.equal(await status('GET', { 'if-none-match': list }), 304, list)
  }
  for (const list of ['"v2"', 'v1', '"v1', '"a,"v1"b"', 'W/"v12"', '']) {
    t.equal(await status('GET', { 'if-none-match': list }), 200, list)
  }
  t.equal(await status('GET', { 'if-none-match': '*' }, 0), 200, 'nothing is there')
})

t.test('a tag may hold commas and look like a weak one', async (t) => {
  const { status } = await serve(t, { etag: () => 'W/a,b' })
  t.equal(await status('GET', { 'if-none-match': '"x", "W/a,b"' }), 304)
  t.equal(await status('GET', { 'if-none-match': '"a", "b"' }), 200)
  t.equal(await status('PUT', { 'if-match': '"W/a,b"' }), 200)
})

t.test('If-Match compares strongly, and stops the change', async (t) => {
  const { send, status, performed } = await serve(t, { etag })
  for (const list of ['"v1"', '"v2", "v1"', '*']) {
    t.equal(await status('PUT', { 'if-match': list }), 200, list)
  }
  t.equal(performed.PUT, 3)
  for (const list of ['"v2"', 'W/"v1"', 'v1', '']) {
    t.equal(await status('PUT', { 'if-match': list }), 412, list)
  }
  t.equal(await status('PUT', { 'if-match': '*' }, 0), 412, 'nothing is there')
  t.equal(await status('GET', { 'if-match': '"v2"' }), 412)
  t.strictSame(performed, { GET: 0, PUT: 3 })
  const response = await send('PUT', { 'if-match': '"v2"' })
  t.match(response.json(), {
    result: false,
    code: 'PRECONDITION_FAILED',
    message: 'It has changed since it was read: read it again, then repeat the change',
  })
})

t.test('If-None-Match: * makes a change only where there is nothing', async (t) => {
  const { status, performed } = await serve(t, { etag })
  t.equal(await status('PUT', { 'if-none-match': '*' }), 412)
  t.equal(await status('PUT', { 'if-none-match': '"v1"' }), 412)
  t.equal(performed.PUT, 0)
  t.equal(await status('PUT', { 'if-none-match': '*' }, 0), 200)
  t.equal(await status('PUT', { 'if-none-match': '"v2"' }), 200)
})

t.test('dates count to the second', async (t) => {
  const { status } = await serve(t, { lastModified })
  t.equal(await status('GET', { 'if-modified-since': date.before }), 200)
  t.equal(await status('GET', { 'if-modified-since': date.same }), 304)
  t.equal(await status('HEAD', { 'if-modified-since': date.after }), 304)
  t.equal(await status('PUT', { 'if-modified-since': date.after }), 200, 'only for reading')
  t.equal(await status('PUT', { 'if-unmodified-since': date.before }), 412)
  t.equal(await status('PUT', { 'if-unmodified-since': date.same }), 200)
  t.equal(await status('GET', { 'if-unmodified-since': date.before }), 412)
  t.equal(await status('PUT', { 'if-unmodified-since': date.before }, 0), 200)
})

t.test('the old form of dates is read, what is no date is no condition', async (t) => {
  const { status } = await serve(t, { lastModified })
  const rfc850 = 'Wednesday, 04-Mar-26 05:06:07 GMT'
  t.equal(await status('GET', { 'if-modified-since': rfc850 }), 304)
  for (const text of ['yesterday', '2100', '4102444800000', '2100-01-01', 'no GMT', '']) {
    t.equal(await status('GET', { 'if-modified-since': text }), 200, text)
  }
  for (const text of ['yesterday', '1970', '1970-01-01', 'no GMT']) {
    t.equal(await status('PUT', { 'if-unmodified-since': text }), 200, text)
  }
})

t.test('tags go before dates', async (t) => {
  const { status } = await serve(t, { etag, lastModified })
  const match = '"v1"'
  const other = '"v2"'
  t.equal(await status('PUT', { 'if-match': match, 'if-unmodified-since': date.before }), 200)
  t.equal(await status('PUT', { 'if-match': other, 'if-unmodified-since': date.after }), 412)
  t.equal(await status('GET', { 'if-none-match': other, 'if-modified-since': date.after }), 200)
  t.equal(await status('GET', { 'if-none-match': match, 'if-modified-since': date.before }), 304)
  t.equal(await status('GET', { 'if-match': other, 'if-none-match': match }), 412)
  t.equal(await status('GET', { 'if-match': match, 'if-none-match': match }), 304)
  t.equal(await status('GET', { 'if-unmodified-since': date.before, 'if-none-match': match }), 412)
})

t.test('without a tag a list of tags fits nothing, the star fits a date', async (t) => {
  const { status } = await serve(t, { lastModified })
  t.equal(await status('PUT', { 'if-match': '"v1"' }), 412)
  t.equal(await status('PUT', { 'if-match': '*' }), 200)
  t.equal(await status('GET', { 'if-none-match': '*' }), 304)
})

t.test('a resource without validators takes no conditions', async (t) => {
  const { send } = await serve(t, {})
  const response = await send('PUT', { 'if-match': '"v2"', 'if-unmodified-since': date.before })
  t.equal(response.statusCode, 200)
  const { headers } = await send('GET', { 'if-none-match': '*' })
  t.notOk('etag' in headers || 'last-modified' in headers || 'cache-control' in headers)
})

t.test('what finds the tag has the context, may fail, and ends the request then', async (t) => {
  const ids: string[] = []
  const { send, performed } = await serve(t, {
    etag: async (_, { requestId }) => {
      ids.push(requestId)
      throw new Error('lost')
    },
  })
  const response = await send('PUT', { 'if-match': '"v1"' })
  t.match(response.json(), { code: 'INTERNAL', request_id: ids[0] })
  t.equal(performed.PUT, 0)
})

t.test('a tag may hold any text: it is encoded, each its own way', async (t) => {
  const seen = new Set<unknown>()
  for (const tag of ['Zürich', '日本', 'a b', 'a%20b', 'a"b', 'a\r\nx: y', '\ud800', '']) {
    const { send } = await serve(t, { etag: () => tag })
    const { statusCode, headers } = await send('GET', {})
    t.equal(statusCode, 200, tag)
    t.match(headers.etag, /^"[\x21\x23-\x7e]*"$/)
    seen.add(headers.etag)
    t.equal((await send('GET', { 'if-none-match': headers.etag as string })).statusCode, 304)
    t.equal((await send('PUT', { 'if-match': headers.etag as string })).statusCode, 200)
  }
  t.equal(seen.size, 8)
})

t.test('an error has nothing of the success that it comes in place of', async (t) => {
  const get = defineResource({
    summary: 'Fails',
    etag: () => 'v1',
    lastModified: () => changed,
    perform(_, { reply }) {
      reply?.header('content-disposition', 'attachment').header('cache-control', 'public')
      throw new Error('after all')
    },
  })
  const app = await serveThings(t, { get })
  const { statusCode, headers } = await app.inject('/things')
  t.equal(statusCode, 500)
  t.equal(headers['cache-control'], 'no-store')
  for (const name of ['etag', 'last-modified', 'content-disposition'])
    t.notOk(name in headers, name)
})
