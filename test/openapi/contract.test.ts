import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { EnvelopeName } from '../../src/http/envelope.ts'
import { differences, exampleRequest, type Listed, readOperations } from './contract.ts'
import { createFixture } from './fixture.ts'

type Provoke = (request: InjectOptions, listed: Listed) => InjectOptions

/** What a client does to a request that would succeed, for each failure that it can bring about. */
const provocations: Record<string, Provoke> = {
  400: (request) => ({ ...request, url: `${request.url}&nobody_reads_this=1` }),
  404: (request, { path }) => ({ ...request, url: path.replace('{id}', '4711') }),
  412: (request) => ({ ...request, headers: { 'if-match': '"another"' } }),
  413: (request) => ({ ...request, body: { name: 'x'.repeat(2000) } }),
  415: (request) => ({ ...request, body: 'a,b', headers: { 'content-type': 'text/csv' } }),
}

async function createSubject(t: Test, envelope: EnvelopeName) {
  const app = createFixture(envelope, { bodyLimit: 1000 })
  app.decorate('db', undefined as never)
  t.teardown(() => app.close())
  const { document, operations } = await readOperations(app)
  return {
    app,
    operations,
    find: (id: string) =>
      operations.find(({ operation }) => operation.operationId === id) as Listed,
    /** Sends `request`, wants `status`, and that the answer is as the document says. */
    async check(listed: Listed, request: InjectOptions, status: number) {
      const response = await app.inject(request)
      const name = `${listed.operation.operationId} ${status}`
      t.equal(response.statusCode, status, name)
      t.strictSame(differences(document, listed, response), [], name)
      return response
    },
  }
}

for (const envelope of ['standard', 'problem'] satisfies EnvelopeName[]) {
  t.test(`${envelope}: each example is answered as documented`, async (t) => {
    const { operations, check } = await createSubject(t, envelope)
    const working = operations.filter(({ operation }) => operation.operationId !== 'cities.fail')
    t.equal(working.length, 11)
    for (const listed of working) {
      const status = Object.keys(listed.operation.responses).find((code) => code.startsWith('2'))
      await check(listed, exampleRequest(listed), Number(status))
    }
  })

  t.test(`${envelope}: a client can bring about each documented failure of its own`, async (t) => {
    const { operations, check } = await createSubject(t, envelope)
    for (const listed of operations) {
      for (const [status, provoke] of Object.entries(provocations)) {
        if (!(status in listed.operation.responses)) continue
        await check(listed, provoke(exampleRequest(listed), listed), Number(status))
      }
    }
  })

  t.test(`${envelope}: what the client has already is answered with 304`, async (t) => {
    const { find, check } = await createSubject(t, envelope)
    const listed = find('cities.retrieve')
    const request = exampleRequest(listed)
    const { headers } = await check(listed, request, 200)
    const again = { ...request, headers: { 'if-none-match': String(headers.etag) } }
    const { body } = await check(listed, again, 304)
    t.equal(body, '')
  })

  t.test(`${envelope}: a failing check is told as documented`, async (t) => {
    const { app, find, check } = await createSubject(t, envelope)
    app.readiness.set('disk', () => Promise.reject(new Error('a secret of the service')))
    const { body } = await check(find('plinth.health.ready'), { url: '/readyz' }, 503)
    t.match(body, '"disk":{"ok":false,"latency_ms":')
    t.notMatch(body, 'a secret of the service')
  })

  for (const [how, status] of Object.entries({ crash: 500, busy: 503, hang: 504 })) {
    t.test(`${envelope}: a service that fails (${how}) answers as documented`, async (t) => {
      const { find, check } = await createSubject(t, envelope)
      const { body } = await check(find('cities.fail'), { url: `/cities/fail?how=${how}` }, status)
      t.notMatch(body, 'a secret of the service')
    })
  }
}
