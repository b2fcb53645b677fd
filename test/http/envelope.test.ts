import t from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import { type Envelope, problemEnvelope, standardEnvelope } from '../../src/http/envelope.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService } from '../helpers/app.ts'

const asked = { id: 'r-1', url: '/things', headers: {} }
const wrong = errors.INVALID_REQUEST.with(
  { errors: [{ path: '/id', message: 'is required' }], data: { hint: 'give one' } },
  'things.get',
)

for (const [name, envelope] of Object.entries({ standardEnvelope, problemEnvelope })) {
  t.test(`${name} reads what it has written`, async (t) => {
    t.strictSame(envelope.parse(envelope.success({ a: 1 }, asked), 200), {
      ok: true,
      data: { a: 1 },
    })
    t.strictSame(envelope.parse(JSON.parse(envelope.successText('[1]', asked)), 200), {
      ok: true,
      data: [1],
    })
    t.strictSame(envelope.parse(envelope.failure(wrong, asked), 400), {
      ok: false,
      code: 'INVALID_REQUEST',
      message: wrong.message,
      errors: [{ path: '/id', message: 'is required' }],
      data: { hint: 'give one' },
      requestId: 'r-1',
    })
    for (const other of ['<html>', null, 7, [], {}]) t.equal(envelope.parse(other, 502), undefined)
  })
}

t.test('of the original only a result of false whose code is not 0 is a failure', async (t) => {
  t.match(standardEnvelope.parse({ result: false, code: 0, data: 1 }, 200), { ok: true, data: 1 })
  t.match(standardEnvelope.parse({ result: false, code: '0000400', message: 'no' }, 200), {
    ok: false,
    code: '0000400',
    message: 'no',
    errors: null,
    data: null,
    requestId: null,
  })
})

t.test('a service answers everything in a form of its own', async (t) => {
  const own: Envelope = {
    ...standardEnvelope,
    success: (data) => ({ mine: data }),
    successText: (data) => `{"mine":${data}}`,
    failure: ({ code }) => ({ not: code }),
    successSchema: (data) => ({ type: 'object', properties: { mine: data } }),
    failureSchema: { type: 'object', properties: { not: { type: 'string' } } },
  }
  const get = defineResource({
    summary: 'Get',
    response: Type.Array(Type.Integer()),
    perform: () => [1],
  })
  const { app } = await createService(t, { get }, { envelope: own })
  t.equal(app.envelope, own)
  const read = async (url: string) => (await app.inject(url)).json()
  t.strictSame(await read('/things'), { mine: [1] })
  t.strictSame(await read('/ping'), { mine: 'pong' })
  t.strictSame(await read('/nothing'), { not: 'ROUTE_NOT_FOUND' })
  t.strictSame(await read('/tasks/1'), { not: 'TASK_NOT_FOUND' })
})
