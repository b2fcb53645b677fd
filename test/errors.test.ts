import { readFileSync } from 'node:fs'
import t from 'tap'
import { Type } from 'typebox'
import { defineError, errors, notFound, PlinthError } from '../src/errors.ts'
import type { EnvelopeName } from '../src/http/envelope.ts'
import { defineResource } from '../src/resource/resource.ts'
import { createService, serveThings } from './helpers/app.ts'

const catalogue = Object.entries(errors)

t.test(
  'each entry has its name as code, an HTTP status, and a place for each argument',
  async (t) => {
    for (const [name, factory] of catalogue) {
      t.equal(factory.code, name)
      t.match(name, /^[A-Z]+(_[A-Z]+)*$/)
      t.ok(factory.statusCode >= 400 && factory.statusCode < 600, name)
      const make = factory as (...args: unknown[]) => PlinthError
      t.notMatch(make('a', 'b', 'c', 'd').message, '%s', name)
    }
    t.equal(new Set(catalogue.map(([, { code }]) => code)).size, catalogue.length)
  },
)

t.test('docs/errors.md describes each entry, and no other', async (t) => {
  const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
  const sections = text.split(/^### /m).slice(1)
  const titles = sections.map((section) => section.split('\n', 1)[0])
  t.strictSame(
    titles,
    catalogue.map(([name, { statusCode }]) => `${name} (${statusCode})`),
    'in the order of the catalogue, with its statuses',
  )
  for (const [index, section] of sections.entries()) {
    t.ok(section.split('\n').slice(1).join('').trim().length > 60, `${titles[index]} is described`)
  }
})

t.test('an error has code, status, message, and what it was made with', async (t) => {
  const cause = new Error('deeper')
  const details = [{ path: '/a', message: 'is required' }]
  const error = errors.NOT_FOUND.with({ cause, errors: details }, 'city', 7)
  t.match(error, {
    name: 'PlinthError',
    code: 'NOT_FOUND',
    statusCode: 404,
    message: 'There is no city 7',
    cause,
    errors: details,
    data: null,
  })
  t.strictSame(errors.FORBIDDEN.with({ data: { need: 'edit' } }).data, { need: 'edit' })
  t.ok(error instanceof Error && PlinthError.is(error))
  const plain = errors.FORBIDDEN()
  t.equal(plain.errors, null)
  t.notOk('cause' in plain)
  t.notOk(PlinthError.is({ name: 'PlinthError' }) || PlinthError.is(new Error('x')))
  t.throws(() => notFound('city', 7), { code: 'NOT_FOUND', message: 'There is no city 7' })
})

t.test('the status of an error is that of an error', async (t) => {
  for (const status of [299, 200, 0, 399, 600, 404.5, Number.NaN])
    t.throws(() => defineError('OWN', status, 'x'), {
      name: 'RangeError',
      message: `The error OWN has the status ${status}; expected 400 to 599`,
    })
  t.equal(defineError('OWN', 599, 'x')().statusCode, 599)
})

/** What a client gets, and the log says, of `thrown`. */
async function answerTo(
  t: Parameters<typeof createService>[0],
  thrown: unknown,
  envelope: EnvelopeName = 'standard',
) {
  const fail = defineResource({
    summary: 'Fail',
    perform() {
      throw thrown
    },
  })
  const { app, logs } = await createService(t, { fail }, { envelope })
  logs.length = 0
  const response = await app.inject({ url: '/things', headers: { 'x-request-id': 'mine' } })
  return { response, body: response.json(), logs }
}

t.test('a service declares its own errors', async (t) => {
  const CITY_CLOSED = defineError<[name: string]>('CITY_CLOSED', 409, 'The city of %s is closed')
  const { response, body } = await answerTo(t, CITY_CLOSED('Ys'))
  t.equal(response.statusCode, 409)
  t.strictSame(body, {
    result: false,
    code: 'CITY_CLOSED',
    data: null,
    message: 'The city of Ys is closed',
    errors: null,
    request_id: 'mine',
    trace_id: null,
  })
})

t.test('what a client needs to go on is the data of a failure', async (t) => {
  const login = { login_url: 'https://login.example/?next=1' }
  const thrown = errors.UNAUTHENTICATED.with({ data: login })
  t.strictSame((await answerTo(t, thrown)).body, {
    result: false,
    code: 'UNAUTHENTICATED',
    data: login,
    message: thrown.message,
    errors: null,
    request_id: 'mine',
    trace_id: null,
  })
  const problem = await answerTo(t, thrown, 'problem')
  t.equal(problem.response.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.strictSame(problem.body, {
    type: 'about:blank',
    title: 'UNAUTHENTICATED',
    status: 401,
    detail: thrown.message,
    instance: '/things',
    data: login,
    request_id: 'mine',
  })
})

t.test('any other error is INTERNAL: its words go to the log only', async (t) => {
  const sql = Object.assign(new Error("Duplicate entry 'ada@example.org' for key 'email'"), {
    code: 'ER_DUP_ENTRY',
    sql: 'insert into person',
    statusCode: 500,
  })
  for (const thrown of [
    sql,
    new TypeError('x is undefined'),
    'a text',
    { statusCode: 404 },
    0,
    null,
    undefined,
  ]) {
    const { response, body, logs } = await answerTo(t, thrown)
    t.equal(response.statusCode, 500)
    t.strictSame(body, {
      result: false,
      code: 'INTERNAL',
      data: null,
      message: 'The service failed; its log tells why under this request id',
      errors: null,
      request_id: 'mine',
      trace_id: null,
    })
    t.match(logs[0], { level: 50, request_id: 'mine', code: 'INTERNAL' })
    if (thrown === sql) {
      t.notMatch(response.body, /Duplicate|insert|ada@|stack/)
      t.match(logs[0]?.err, { message: /^Duplicate entry/, sql: 'insert into person' })
    }
  }
})

t.test('the cause of an error is logged, not sent', async (t) => {
  const thrown = errors.CONFLICT.with({ cause: new Error('deeper') }, 'It is taken')
  const { response } = await answerTo(t, thrown)
  t.notMatch(response.body, 'deeper')
  const broken = errors.DATABASE_UNAVAILABLE.with({ cause: new Error('deeper') }, 'it is away')
  const { response: answer, logs } = await answerTo(t, broken)
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers.connection, 'close')
  t.notMatch(answer.body, 'deeper')
  t.match(logs[0]?.err, { stack: /caused by: Error: deeper/ })
})

t.test('errors of hooks are answered alike', async (t) => {
  const get = defineResource({ summary: 'Get', response: Type.Null(), perform: () => null })
  for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
    const app = await serveThings(
      t,
      { get },
      {
        plugin: (app) =>
          app.addHook(hook, async () => {
            throw errors.UNAUTHENTICATED()
          }),
      },
    )
    for (const url of ['/things', '/nope']) {
      const response = await app.inject(url)
      t.equal(response.statusCode, 401, `${hook} ${url}`)
      t.match(response.json(), { code: 'UNAUTHENTICATED', request_id: String })
      t.equal(response.headers['x-request-id'], response.json().request_id)
    }
  }
})

t.test('an error made by a second copy of the kit is known by its shape', async (t) => {
  const other = Object.assign(new Error('in words of its own'), {
    name: 'PlinthError',
    code: 'OTHER',
    statusCode: 422,
    errors: null,
  })
  t.match((await answerTo(t, other)).body, { code: 'OTHER', message: 'in words of its own' })
})
