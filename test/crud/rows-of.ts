import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import auth from '../../plugins/auth.ts'
import cache from '../../plugins/cache.ts'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { addStrategy, type Strategy } from '../../src/auth/authenticator.ts'
import type { Model } from '../../src/database/model/types.ts'
import type { Identify } from '../../src/resource/context.ts'
import type { ModuleTable } from '../../src/resource/module.ts'
import { createTables } from '../database/model/fixture.ts'
import { databaseDrivers } from '../helpers/drivers.ts'

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

interface Answer {
  status: number
  data: unknown
  code: string | number
  message: string | null
  errors: unknown
  etag: string | undefined
}

/** Sends a request of a user; `undefined`: of nobody. */
export type As = (
  user: string | undefined,
  method: Method,
  url: string,
  body?: object,
  headers?: Record<string, string>,
) => Promise<Answer>

interface Service {
  models: readonly Model[]
  modules: ModuleTable
  /** Whether it is decided who may call what; else all are found out, and each may. */
  decides?: boolean
}

/** Runs `test` on every database, with an app that serves `modules` and takes the header `x-user` for who asks. */
export function onEveryDatabase(
  t: Test,
  name: string,
  { models, modules, decides = false }: Service,
  test: (t: Test, as: As, app: FastifyInstance) => Promise<void>,
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const app = Fastify()
      t.teardown(() => app.close())
      app.register(envelope)
      app.register(cache, {})
      app.register(database, { url: await driver.url(t), models })
      if (decides) await app.register(auth)
      if (decides) addStrategy(app, byHeader)
      const identify: Identify = (request) => userOf(request)
      app.register(resources, { modules, strict: true, ...(!decides && { identify }) })
      await app.ready()
      await createTables(app.db, driver, models)
      await test(t, asUser(app), app)
    })
  }
}

const userOf = ({ headers: { 'x-user': id } }: FastifyRequest) =>
  typeof id === 'string' ? { id } : undefined

const byHeader: Strategy = {
  name: 'header',
  scheme: { type: 'apiKey', in: 'header', name: 'x-user' },
  authenticate(request) {
    const user = userOf(request)
    return user && { user }
  },
}

const asUser =
  (app: FastifyInstance): As =>
  async (user, method, url, payload, given = {}) => {
    const headers = { ...given, ...(user !== undefined && { 'x-user': user }) }
    const answer = await app.inject({ method, url, headers, ...(payload && { payload }) })
    const { data, code, message, errors } = answer.json()
    const { etag } = answer.headers
    return { status: answer.statusCode, data, code, message, errors, etag: etag as string }
  }
