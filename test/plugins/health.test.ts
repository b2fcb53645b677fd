import { stat } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import envelope from '../../plugins/envelope.ts'
import health, { type HealthOptions } from '../../plugins/health.ts'
import type { LogLine } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'

async function create(
  t: Test,
  options: HealthOptions = {},
): Promise<{ app: FastifyInstance; logs: LogLine[] }> {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => void logs.push(JSON.parse(line)) }
  const app = Fastify({ genReqId: () => 'r-1', logger: { level: 'warn', stream } })
  t.teardown(() => app.close())
  await app.register(health, options)
  return { app, logs }
}

t.test('/ping and /healthz answer', async (t) => {
  const { app } = await create(t)
  const rest = { message: null, request_id: 'r-1', trace_id: null }
  const ping = await app.inject('/ping')
  t.equal(ping.statusCode, 200)
  t.strictSame(ping.json(), { result: true, code: 0, data: 'pong', ...rest })
  t.strictSame((await app.inject('/healthz')).json().data, { healthy: true })
})

t.test('/ping is JSON without an envelope, too', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(envelope, { envelope: 'problem' })
  await app.register(health)
  const response = await app.inject('/ping')
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.equal(response.body, '"pong"')
})

t.test('/readyz without anything attached is ready', async (t) => {
  const { app } = await create(t)
  const response = await app.inject('/readyz')
  t.equal(response.statusCode, 200)
  t.strictSame(response.json().data, { ready: true, draining: false, checks: {} })
})

t.test('/readyz names what fails and what hangs, with the latency of each', async (t) => {
  const { app, logs } = await create(t, { timeout: 200 })
  const aborted: string[] = []
  app.readiness.set('fine', async () => {})
  app.readiness.set('failing', async () => {
    throw new Error('password hunter2 refused')
  })
  app.readiness.set('sudden', () => {
    throw new Error('at once')
  })
  app.readiness.set('hanging', (signal) => {
    signal.addEventListener('abort', () => aborted.push('hanging'))
    return new Promise(() => {})
  })
  await app.ready()
  // A timer counts from the beginning of the turn that it is set in.
  await turn()
  const response = await app.inject('/readyz')
  t.equal(response.statusCode, 503)
  const { result, code, message } = response.json()
  t.strictSame([result, code], [false, 'NOT_READY'])
  t.match(message, 'hanging: no answer within 200 ms')
  const { ready, checks } = response.json().data
  t.equal(ready, false)
  const problem = 'it does not answer as it should; the log tells why'
  t.match(checks, {
    fine: { ok: true, latency_ms: Number },
    failing: { ok: false, latency_ms: Number, problem },
    sudden: { ok: false, latency_ms: Number, problem },
    hanging: { ok: false, latency_ms: Number, problem: 'no answer within 200 ms' },
  })
  t.notOk('problem' in checks.fine)
  const { fine, hanging } = checks
  t.ok(hanging.latency_ms > 100 && fine.latency_ms < hanging.latency_ms, response.body)
  t.notMatch(response.body, 'hunter2')
  t.strictSame(aborted, ['hanging'])
  t.match(
    logs.map(({ msg, check, err }) => [msg, check, (err as Error).message]).sort(),
    [
      ['a readiness check failed', 'failing', 'password hunter2 refused'],
      ['a readiness check failed', 'sudden', 'at once'],
    ],
    'the log tells why',
  )
})

t.test(
  '/readyz reads what has come before it is late, where it was the process that stood still',
  async (t) => {
    const { app } = await create(t, { timeout: 20 })
    app.readiness.set('disk', async () => void (await stat('.')))
    app.readiness.set('busy', async () => block(1000))
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const { data } = (await (await fetch(`${address}/readyz`)).json()) as { data: unknown }
    t.match(data, {
      ready: true,
      checks: { disk: { ok: true }, busy: { ok: true } },
    })
  },
)

t.test('/readyz shows what is optional and away, and is ready', async (t) => {
  const { app, logs } = await create(t)
  const away = Object.assign(() => Promise.reject(new Error('away')), { optional: true })
  app.readiness.set('spare', away)
  const response = await app.inject('/readyz')
  t.equal(response.statusCode, 200)
  t.match(response.json().data, {
    ready: true,
    checks: { spare: { ok: false, optional: true, problem: String } },
  })
  app.readiness.set('broken', () => Promise.reject(new Error('broken')))
  const { message } = (await app.inject('/readyz')).json()
  t.match(message, 'broken: ')
  t.notMatch(message, 'spare')
  t.match(logs, [{ check: 'broken' }])
  t.equal(logs.length, 1)
})

t.test('/readyz fails while the process drains, /healthz and /ping do not', async (t) => {
  const { app } = await create(t)
  app.draining.since = new Date()
  const response = await app.inject('/readyz')
  t.equal(response.statusCode, 503)
  t.strictSame(response.json().data, { ready: false, draining: true, checks: {} })
  t.equal((await app.inject('/healthz')).statusCode, 200)
  t.equal((await app.inject('/ping')).statusCode, 200)
})
