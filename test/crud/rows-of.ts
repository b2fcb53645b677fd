import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import type { Model } from '../../src/database/model/model.ts'
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

/** Runs `test` on every database, with an app that serves `modules` and takes the header `x-user` for who asks. */
export function onEveryDatabase(
  t: Test,
  name: string,
  { models, modules }: { models: readonly Model[]; modules: ModuleTable },
  test: (t: Test, as: As, app: FastifyInstance) => Promise<void>,
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const app = Fastify()
      t.teardown(() => app.close())
      app.register(envelope)
      app.register(database, { url: await driver.url(t), models })
      app.register(resources, {
        modules,
        strict: true,
        identify: ({ headers: { 'x-user': id } }) => (typeof id === 'string' ? { id } : undefined),
      })
      await app.ready()
      await createTables(app.db, driver, models)
      await test(t, asUser(app), app)
    })
  }
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
