import Fastify from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import resources from '../../plugins/resources.ts'
import upstream from '../../plugins/upstream.ts'
import { defineApi, defineModule } from '../../src/index.ts'
import { createGate, createService, failure } from '../helpers/app.ts'
import { answerJson, serveUpstream } from '../helpers/upstream.ts'

const Answer = Type.Object({ n: Type.Integer() })

t.test('any Fastify app may call other systems', async (t) => {
  const { url } = await serveUpstream(t, (response, _, n) => answerJson(response, { n }))
  const get = defineApi({ name: 'counter', baseUrl: url }).resource({
    summary: 'Count',
    path: '/n',
    response: Answer,
  })
  const modules = { counter: defineModule({ resources: { get } }) }
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(upstream)
  app.register(resources, { modules })
  await app.ready()
  t.strictSame(await app.run(() => get()), { n: 1 })
  const without = Fastify()
  t.teardown(() => without.close())
  without.register(resources, { modules })
  await without.ready()
  t.match(await failure(without.run(() => get())), {
    code: 'UPSTREAM_MISSING',
    message: 'Nothing here calls other systems: register plinth/plugins/upstream',
  })
})

t.test('two apps call one API apart from one another', async (t) => {
  const { url } = await serveUpstream(t, (response, _, n) => answerJson(response, { n }))
  const api = defineApi({ name: 'counter', baseUrl: url })
  const get = api.resource({ summary: 'Count', path: '/n', response: Answer })
  const { app: one } = await createService(t, { get })
  const { app: two } = await createService(t, { get })
  t.strictSame(await one.run(() => get()), { n: 1 })
  await one.close()
  t.strictSame(await two.run(() => get()), { n: 2 }, 'which is not closed with the other')
})

t.test('the log tells when an upstream is not asked for a while', async (t) => {
  const { url } = await serveUpstream(t, (response) => response.writeHead(500).end())
  const api = defineApi({ name: 'counter', baseUrl: url, breaker: { minimum: 2 } })
  const get = api.resource({ summary: 'Count', path: '/n', response: Answer })
  const { app, logs } = await createService(t, { get })
  const call = () => app.run(() => failure(get()))
  t.match(await call(), { code: 'UPSTREAM_REFUSED' })
  t.match(await call(), { code: 'UPSTREAM_REFUSED' })
  t.match(await call(), { code: 'UPSTREAM_UNAVAILABLE' })
  t.match(
    logs.filter(({ api }) => api !== undefined),
    [{ api: 'counter', msg: 'an upstream fails too often: it is not asked for a while' }],
  )
})

t.test('a call that succeeds is told where the log has lines of debug', async (t) => {
  const { url } = await serveUpstream(t, (response, { url }) => {
    const id = url === '/body' ? { request_id: 'of the body' } : {}
    if (url === '/header') response.setHeader('x-request-id', 'theirs')
    answerJson(response, { result: true, code: 0, data: { n: 1 }, ...id })
  })
  const api = defineApi({ name: 'counter', baseUrl: url, envelope: 'standard' })
  const inHeader = api.resource({ summary: 'Count', path: '/header', response: Answer })
  const inBody = api.resource({ summary: 'Count', path: '/body', response: Answer })
  const { app, logs } = await createService(t, { inHeader, inBody })
  const lines = () => logs.filter(({ upstream }) => upstream !== undefined)
  await app.run(() => inHeader())
  t.strictSame(lines(), [])
  app.log.level = 'debug'
  await app.run(() => inHeader())
  await app.run(() => inBody())
  const upstream = { api: 'counter', method: 'GET', status: 200, attempts: 1 }
  t.match(lines(), [
    { level: 20, upstream: { ...upstream, operation: 'things.inHeader', requestId: 'theirs' } },
    { level: 20, upstream: { ...upstream, url: `${url}/body`, requestId: 'of the body' } },
  ])
})

t.test('an app that is closed ends its calls', async (t) => {
  const arrived = createGate()
  const { url } = await serveUpstream(t, () => arrived.open())
  const api = defineApi({ name: 'counter', baseUrl: url })
  const get = api.resource({ summary: 'Count', path: '/n', response: Answer })
  const { app } = await createService(t, { get })
  const called = app.run(() => failure(get()))
  await arrived.opened
  await app.close()
  t.match(await called, { code: 'UPSTREAM_UNAVAILABLE' })
})

t.test('has no options', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(Promise.resolve(app.register(upstream, { url: 'http://a' } as never)), {
    code: 'PLUGIN_OPTION_INVALID',
  })
})
