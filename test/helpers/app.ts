import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import envelopePlugin from '../../plugins/envelope.ts'
import resourcesPlugin, { type ResourcesOptions } from '../../plugins/resources.ts'
import type { ServiceDefinition } from '../../src/define-service.ts'
import type { EnvelopeName } from '../../src/http/envelope.ts'
import { defineModule, type ModuleTable, type ResourceTable } from '../../src/resource/module.ts'
import { createApp } from '../../src/service.ts'
import { PATIENT_ENV } from './drivers.ts'

export interface TestAppOptions {
  /** Default `standard`. */
  envelope?: EnvelopeName
  /** Default true; false is what production does. */
  strict?: boolean
  server?: FastifyServerOptions
  /** Other options of plinth/plugins/resources. */
  resources?: Partial<ResourcesOptions>
  /** Registered before the resources. */
  plugin?: (app: FastifyInstance) => void
}

/** One log line, parsed. */
export type LogLine = Record<string, unknown> & { level: number | string; msg: string }

/** A bare Fastify app of the two plugins that serve resources, ready, closed when `t` ends. */
export async function createBareApp(
  t: Test,
  modules: ModuleTable,
  options: TestAppOptions = {},
): Promise<FastifyInstance> {
  const { envelope = 'standard', strict = true } = options
  const app = Fastify({ return503OnClosing: false, ...options.server })
  t.teardown(() => app.close())
  app.register(envelopePlugin, { envelope })
  options.plugin?.(app)
  app.register(resourcesPlugin, { modules, strict, ...options.resources })
  await app.ready()
  return app
}

/** {@link createBareApp} with `resources` as the module `things` at `/things`. */
export function serveThings(
  t: Test,
  resources: ResourceTable,
  options: TestAppOptions = {},
): Promise<FastifyInstance> {
  return createBareApp(t, { things: defineModule({ prefix: '/things', resources }) }, options)
}

export interface ServiceOptions extends Partial<ServiceDefinition> {
  /** Joined to NODE_ENV=test, LOG_LEVEL=info and, with the Redis of all tests, a patient REDIS_TIMEOUT. */
  env?: never
  variables?: NodeJS.ProcessEnv
}

/** A whole service with `resources` at `/things`, and what it logs; closed when `t` ends. */
export async function createService(
  t: Test,
  resources: ResourceTable,
  { variables = {}, ...definition }: ServiceOptions = {},
): Promise<{ app: FastifyInstance; logs: LogLine[] }> {
  const logs: LogLine[] = []
  const service = {
    name: 'test',
    modules: { things: defineModule({ prefix: '/things', resources }) },
    ...definition,
  }
  const app = (await createApp(service, {
    root: t.testdir(),
    env: { NODE_ENV: 'test', ...patience(variables), ...variables },
    logger: { level: 'info', stream: { write: (line: string) => logs.push(JSON.parse(line)) } },
  })) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.ready()
  return { app, logs }
}

/** That the Redis of all tests, which never hangs, is waited for on a machine that has other work. */
const patience = ({ REDIS_URL }: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  REDIS_URL && REDIS_URL === process.env.TEST_REDIS_URL ? PATIENT_ENV : {}

/** A promise to wait for, and what fulfils it. */
export function createGate<T = void>(): { opened: Promise<T>; open: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>()
  return { opened: promise, open: resolve }
}

/** The error that `promise` rejects with, its code, message and details. */
export async function failure(promise: Promise<unknown>) {
  const error = await promise.then(
    () => {
      throw new Error('expected a failure, got a result')
    },
    (reason: unknown) => reason as Error & { code?: string; errors?: unknown },
  )
  return { code: error.code, message: error.message, errors: error.errors ?? null }
}
