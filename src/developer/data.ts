import type { FastifyInstance } from 'fastify'
import type { ConfigVariable } from '../config/read.ts'
import type { Registered } from '../resource/registry.ts'
import type { Tasks } from '../task/tasks.ts'
import { codeOf } from './recorder.ts'

/** A route of the app, by one of its methods. */
export interface DeveloperRoute {
  readonly method: string
  readonly url: string
  readonly resource?: string | undefined
  /** Which of the kit's own it is. */
  readonly kit?: string | undefined
}

export interface Described {
  readonly title: string
  readonly version: string
  readonly variables: readonly ConfigVariable[]
  readonly routes: readonly DeveloperRoute[]
}

/** What the page tells of a service, beside what it does: nothing of it is secret. */
export async function describeService(
  app: FastifyInstance,
  { title, version, variables, routes }: Described,
): Promise<object> {
  return {
    title,
    version,
    node: process.version,
    resources: app.hasDecorator('registry') ? Array.from(app.registry, describeResource) : [],
    routes,
    variables: variables.map(({ name, owner, value, origin, description }) => {
      return { name, owner, value, origin, description }
    }),
    tasks: app.hasDecorator('tasks') ? await describeTasks(app.tasks) : null,
    cache: app.hasDecorator('cache') ? app.cache.counts : null,
  }
}

function describeResource({ name, resource, listings, task, access }: Registered): object {
  const { definition } = resource
  const { summary, method = 'GET', cache, schedule, query = [], timeout } = definition
  const served = listings.find(({ exposed, module }) => exposed && module.runsHere)
  const { remote, async } = listings[0]?.module ?? {}
  return {
    name,
    summary,
    method,
    path: served?.path ?? null,
    query,
    // A form has no files.
    tries: served !== undefined && !definition.consumes,
    modes: {
      http: served !== undefined,
      cache: cache ? { ttl: cache.ttl, perUser: cache.perUser ?? true } : null,
      task: definition.async ?? async ?? false,
      queue: task.queue ?? 'default',
      schedule: typeof schedule === 'string' ? schedule : (schedule?.cron ?? null),
      remote: remote ?? null,
      log: Boolean(definition.log),
    },
    timeout: timeout ?? null,
    auth: access?.auth ?? null,
    permissions: access?.permissions.map((one) => one.name) ?? [],
  }
}

/** Milliseconds that what keeps them may take. */
const PATIENCE = 1000

/** The queues with what is in them, and the schedules; what cannot be asked says why. */
async function describeTasks(tasks: Tasks): Promise<object> {
  const work = async () => {
    const driver = await tasks.driver()
    const queues = await Promise.all(
      Array.from(tasks.queues, async (name) => ({ name, ...(await driver.counts(name)) })),
    )
    return { driver: driver.kind, queues, schedules: await (await tasks.schedules()).list() }
  }
  const late = Promise.withResolvers<object>()
  const timer = setTimeout(
    () => late.resolve({ problem: 'What keeps them does not answer' }),
    PATIENCE,
  )
  const failed = (error: unknown) => ({ problem: `They cannot be looked up: ${codeOf(error)}` })
  try {
    return await Promise.race([work().catch(failed), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The schema of what a resource takes, complete in itself, for the form that tries it out.
 *
 * @throws {PlinthError} RESOURCE_UNKNOWN
 */
export function requestSchema(app: FastifyInstance, name: string): object {
  const { resource } = app.registry.find(name)
  return {
    schema: app.compiled.of(resource).request,
    example: resource.definition.examples?.request ?? null,
  }
}
