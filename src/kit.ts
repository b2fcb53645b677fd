import type { FastifyPluginAsync } from 'fastify'
import type { Config } from './config/read.ts'
import type { KitConfig } from './config/schema.ts'
import { modelsOf, modulesOf, type ServiceDefinition } from './define-service.ts'
import type { Placed } from './plugin.ts'
import { parseModules } from './resource/module.ts'

/** What the options of a plugin of the kit are made of. */
interface Given {
  /** The configuration, validated. */
  env: KitConfig
  read: Config<KitConfig>
  service: ServiceDefinition
  /** The service's folder. */
  root: string
}

/** A plugin of the kit as a service attaches it: light, since all that it is made of is loaded only where it is attached. */
interface KitPlugin extends Placed {
  /** What to do where another plugin needs it and it is not attached. */
  readonly absent?: string
  load(): Promise<{ default: FastifyPluginAsync<never> }>
  /** By the configuration and the service; `undefined`: it is not attached. */
  options(given: Given): object | undefined
}

/** Holds the options to the type that the plugin wants. */
function kitPlugin<Options extends object>(
  plugin: Placed & {
    absent?: string
    load(): Promise<{ default: FastifyPluginAsync<Options> }>
    options(given: Given): Options | undefined
  },
): KitPlugin {
  return plugin
}

/** The plugins of the kit, in any order: each says what it needs and comes after. */
export const kitPlugins: readonly KitPlugin[] = [
  kitPlugin({
    name: 'config',
    load: () => import('../plugins/config.ts'),
    options: ({ read }) => ({ config: read }),
  }),
  kitPlugin({
    name: 'request-log',
    after: ['config'],
    load: () => import('../plugins/request-log.ts'),
    options: () => ({}),
  }),
  kitPlugin({
    name: 'envelope',
    after: ['request-log'],
    load: () => import('../plugins/envelope.ts'),
    options: ({ service: { envelope, compat } }) => ({
      ...(envelope && { envelope }),
      ...(compat && { compat }),
      notFound: false,
    }),
  }),
  kitPlugin({
    name: 'decompress',
    after: ['envelope'],
    absent: 'give the service decompress: true',
    load: () => import('../plugins/decompress.ts'),
    options: ({ service: { decompress } }) =>
      decompress && (decompress === true ? {} : { encodings: decompress }),
  }),
  kitPlugin({
    name: 'docs',
    // Before all that has routes: it describes what comes after it.
    after: ['decompress', 'envelope'],
    absent: 'set DOCS=true',
    load: () => import('../plugins/docs.ts'),
    options: ({ env, service }) =>
      env.DOCS && service.routes?.openapi !== false ? documentInfo(service) : undefined,
  }),
  kitPlugin({
    name: 'health',
    after: ['docs', 'envelope'],
    load: () => import('../plugins/health.ts'),
    options({ service }) {
      const { ping, healthz, readyz } = service.routes ?? {}
      return {
        ...(ping !== undefined && { ping }),
        ...(healthz !== undefined && { healthz }),
        ...(readyz !== undefined && { readyz }),
      }
    },
  }),
  kitPlugin({
    name: 'deadline',
    // After what is always quick: only what comes after it is bounded.
    after: ['health', 'docs'],
    load: () => import('../plugins/deadline.ts'),
    options: ({ env }) => ({ timeout: env.REQUEST_TIMEOUT }),
  }),
  kitPlugin({
    name: 'database',
    after: ['config', 'deadline'],
    absent: 'set DATABASE_URL',
    load: () => import('../plugins/database.ts'),
    options({ env, service, root }) {
      if (!env.DATABASE_URL) return undefined
      return {
        url: env.DATABASE_URL,
        root,
        models: modelsOf(service),
        ...(service.actor && { actor: service.actor }),
        poolSize: env.DATABASE_POOL_SIZE,
        queueLimit: env.DATABASE_QUEUE_LIMIT,
        connectTimeout: env.DATABASE_CONNECT_TIMEOUT,
        acquireTimeout: env.DATABASE_ACQUIRE_TIMEOUT,
        queryTimeout: env.DATABASE_QUERY_TIMEOUT,
        slowQuery: env.DATABASE_SLOW_QUERY,
      }
    },
  }),
  kitPlugin({
    name: 'redis',
    after: ['config', 'deadline'],
    absent: 'set REDIS_URL',
    load: () => import('../plugins/redis.ts'),
    options: ({ env: { REDIS_URL: url, REDIS_TIMEOUT: commandTimeout } }) =>
      url ? { url, commandTimeout } : undefined,
  }),
  kitPlugin({
    name: 'cache',
    after: ['redis', 'database', 'deadline'],
    load: () => import('../plugins/cache.ts'),
    options: ({ env, service }) => ({ prefix: service.name, maxBytes: env.CACHE_MEMORY }),
  }),
  kitPlugin({
    name: 'tasks',
    after: ['redis', 'database', 'cache', 'docs', 'deadline', 'envelope'],
    load: () => import('../plugins/tasks.ts'),
    options: ({ env, service }) => ({
      ...(service.routes?.tasks !== undefined && { path: service.routes.tasks }),
      prefix: taskPrefix(service),
      payloadLimit: env.TASK_PAYLOAD_LIMIT,
      concurrency: env.TASK_CONCURRENCY,
      maxCrashes: env.TASK_MAX_CRASHES,
      ...(service.taskQueues && { queues: service.taskQueues }),
      ...(service.limits && { limits: service.limits }),
      ...(service.loadUser && { loadUser: service.loadUser }),
      // The rest is for the connections.
      stopTimeout: env.SHUTDOWN_TIMEOUT * 0.8,
    }),
  }),
  kitPlugin({
    name: 'queues',
    needs: ['redis', 'tasks'],
    after: ['docs', 'deadline'],
    absent: 'set REDIS_URL, and QUEUES=true',
    load: () => import('../plugins/queues.ts'),
    options({ env, service }) {
      const { queues: path = '/_/queues' } = service.routes ?? {}
      if (!env.REDIS_URL || !env.QUEUES || !path) return undefined
      return {
        path,
        title: `Tasks of ${service.name}`,
        prefix: taskPrefix(service),
        protected: env.NODE_ENV === 'production',
        ...service.queues,
      }
    },
  }),
  kitPlugin({
    name: 'resources',
    after: ['config', 'docs', 'deadline', 'database', 'cache', 'tasks', 'decompress', 'envelope'],
    load: () => import('../plugins/resources.ts'),
    options({ env, service }) {
      const only = parseModules(env.PLINTH_MODULES)
      return {
        modules: modulesOf(service),
        ...(only && { only }),
        strict: env.NODE_ENV !== 'production',
        timeout: env.REQUEST_TIMEOUT,
        async: service.async ?? false,
        ...(service.identify && { identify: service.identify }),
        ...(service.authorize && { authorize: service.authorize }),
      }
    },
  }),
]

function taskPrefix({ name }: ServiceDefinition): string {
  return `{${name}}:tasks`
}

function documentInfo(service: ServiceDefinition) {
  const { name, version = '0.0.0', description, security, securitySchemes } = service
  const { openapi, docs } = service.routes ?? {}
  return {
    ...(openapi && { document: openapi }),
    ...(docs !== undefined && { page: docs }),
    ...(security && { security }),
    ...(securitySchemes && { securitySchemes }),
    title: name,
    version,
    ...(description && { description }),
  }
}
