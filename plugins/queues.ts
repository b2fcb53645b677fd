import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import Type, { type Static } from 'typebox'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import { errors, type PlinthError } from '../src/errors.ts'
import { FirstUse } from '../src/first-use.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions, missingPackages, requirePackages } from '../src/plugin-guards.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  QUEUES: Type.Boolean({
    description: 'Serve /_/queues, where tasks can be seen and changed by anybody.',
    derived: 'false in production, otherwise true',
  }),
})
type Env = Static<typeof env>

const PACKAGES = ['@bull-board/api', '@bull-board/fastify', 'bullmq']

// The page would fetch its fonts from elsewhere.
const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

export interface QueuesOptions {
  /** Above the page; default `Tasks`. */
  title?: string
  /** Where the page is; default `/_/queues`. */
  path?: string
  /** As of plinth/plugins/tasks. */
  prefix?: string
  /** Refuses, by throwing or answering, whoever may not see and change tasks; without one everybody may. */
  protect?: onRequestAsyncHookHandler
  /** Whether a page without `protect` is refused; default: where NODE_ENV is `production`. */
  protected?: boolean
}

/**
 * Serves `/_/queues`, a page where tasks can be seen, tried again and removed (bull-board), loaded at the first visit.
 *
 * @throws {PlinthError} QUEUES_UNPROTECTED; PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PACKAGE_MISSING
 */
async function register(app: FastifyInstance, options: QueuesOptions): Promise<void> {
  checkOptions<QueuesOptions>('queues', options, {
    title: 'text?',
    path: 'path?',
    prefix: 'text?',
    protect: 'function?',
    protected: 'flag?',
  })
  const { title = 'Tasks', path = '/_/queues', prefix = '{plinth}:tasks', protect } = options
  if (!protect && (options.protected ?? process.env.NODE_ENV === 'production'))
    throw errors.QUEUES_UNPROTECTED(path)
  requirePackages('queues', PACKAGES)

  const board = new FirstUse(async () => {
    const { openBoard } = await import('../src/task/board.ts')
    const queues = async () => (await app.tasks.driver()).queues()
    const retry = async (id: string) => (await app.tasks.driver()).retry(id)
    return await openBoard({ path, title, redis: app.redis, prefix, queues, retry })
  })
  app.addHook('onClose', async () => {
    await (await board.made())?.close()
  })

  app.register(async function serveBoard(scope) {
    // The page reads the bodies itself.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
    if (protect) scope.addHook('onRequest', protect)
    const config = { deadline: 0, kit: 'queues' } as const
    for (const url of [path, `${path}/*`]) {
      scope.all(url, { config, schema: { hide: true } as never }, async (request, reply) => {
        const { routing } = await board.get()
        reply.hijack()
        reply.raw.setHeader('content-security-policy', POLICY)
        routing(request.raw, reply.raw)
      })
    }
  })
}

function optionsOf({
  env,
  read,
  service,
  named,
  isDefault,
}: PluginGiven<Env>): QueuesOptions | string | PlinthError {
  const { queues: path = '/_/queues' } = service.routes ?? {}
  const { REDIS_URL, NODE_ENV, TASK_STORE = 'redis' } = read.values
  if (!path) return 'take queues: false out of the routes of the service'
  if (TASK_STORE !== 'redis') return 'set TASK_STORE=redis: the page shows what is in Redis'
  if (!REDIS_URL || !env.QUEUES) return `set REDIS_URL, and ${named('QUEUES')}=true`
  // What nobody has asked for is no reason not to start.
  const missing = isDefault('QUEUES') && missingPackages('queues', PACKAGES)
  if (missing) return missing
  return {
    path,
    title: `Tasks of ${service.name}`,
    prefix: `{${redisPrefix(service.name, read.values)}}:tasks`,
    protected: NODE_ENV === 'production' && !isDecided(service),
    ...service.queues,
  }
}

/** Whether not everybody may see the page, by what the service says of it. */
function isDecided({ auth }: PluginGiven['service']): boolean {
  const { auth: decided, permissions } = (auth !== true && auth?.routes?.queues) || {}
  return permissions !== undefined || decided === 'required'
}

export default definePlugin({
  name: 'queues',
  env,
  needs: ['redis', 'tasks'],
  after: ['docs', 'deadline'],
  options: optionsOf,
  register,
})
