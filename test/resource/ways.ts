import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'
import type { ResourceTable } from '../../src/resource/module.ts'
import { type AnyResource, defineResource } from '../../src/resource/resource.ts'

/** One way to call a resource: what its caller is given, an error as its code and what does not fit. */
type Way = readonly [name: string, call: (app: FastifyInstance) => Promise<unknown>]

export interface Ways {
  /** For the module `things` at `/things`. */
  resources: ResourceTable
  /** What each way gives for `input`. */
  call: (app: FastifyInstance, input?: object) => Promise<Record<string, unknown>>
  /** `value` by every way. */
  same: (value: unknown) => Record<string, unknown>
}

export interface Definition {
  request?: TSchema
  response: TSchema
  perform: (request: never) => unknown
}

/** Every way to call a resource of that definition. */
export function everyWay({ request, response, perform }: Definition): Ways {
  const definition = {
    summary: 'Thing',
    method: 'POST',
    ...(request && { request }),
    response,
    perform: perform as never,
  } as const
  const task = { attempts: 3, backoff: { type: 'fixed', delay: 1 } } as const
  const plain: AnyResource = defineResource({ ...definition, task })
  const cached: AnyResource = defineResource({
    ...definition,
    path: '/cached',
    cache: { ttl: 60_000, perUser: false },
  })
  const nested: AnyResource = defineResource({
    ...definition,
    path: '/nested',
    perform: (input: never) => plain(input) as never,
  })
  const ways = (input: object): Way[] => [
    ['HTTP', overHttp('/things', input)],
    ['HTTP, cached', overHttp('/things/cached', input)],
    ['HTTP, cached before', overHttp('/things/cached', input)],
    ['HTTP, nested', overHttp('/things/nested', input)],
    ['in process', (app) => app.run(() => plain(input))],
    ['in process, cached', (app) => app.run(() => cached.refresh(input))],
    ['in process, cached before', (app) => app.run(() => cached(input))],
    ['in bulk', async (app) => (await app.run(() => plain.bulk([input])))[0]],
    ['as a task', async (app) => (await app.run(() => plain.enqueue(input))).result()],
  ]
  return {
    resources: { plain, cached, nested },
    same: (value) => Object.fromEntries(ways({}).map(([name]) => [name, value])),
    async call(app, input = {}) {
      const given: Record<string, unknown> = {}
      for (const [name, call] of ways(input)) {
        given[name] = await call(app).catch(({ code, errors }) => ({
          code,
          errors: errors ?? null,
        }))
      }
      return given
    },
  }
}

const overHttp = (url: string, payload: object) => async (app: FastifyInstance) => {
  const { data, code, errors } = (await app.inject({ method: 'POST', url, payload })).json()
  if (code !== 0) throw Object.assign(new Error(code), { code, errors })
  return data
}
