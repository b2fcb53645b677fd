import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../src/errors.ts'
import { assertOnce, checkOptions, requirePackages } from '../src/plugin.ts'

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
async function queues(app: FastifyInstance, options: QueuesOptions): Promise<void> {
  checkOptions<QueuesOptions>('queues', options, {
    title: 'text?',
    path: 'path?',
    prefix: 'text?',
    protect: 'function?',
    protected: 'flag?',
  })
  assertOnce(app, 'queues')
  const { title = 'Tasks', path = '/_/queues', prefix = '{plinth}:tasks', protect } = options
  if (!protect && (options.protected ?? process.env.NODE_ENV === 'production'))
    throw errors.QUEUES_UNPROTECTED(path)
  requirePackages('queues', '@bull-board/api', '@bull-board/fastify', 'bullmq')

  let board: Promise<FastifyInstance> | undefined
  const open = async () => {
    const { openBoard } = await import('../src/task/board.ts')
    const queues = async () => (await app.tasks.driver()).queues()
    return await openBoard({ path, title, redis: app.redis, prefix, queues })
  }
  app.addHook('onClose', async () => {
    await (await board?.catch(() => undefined))?.close()
  })

  app.register(async function serveBoard(scope) {
    // The page reads the bodies itself.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
    if (protect) scope.addHook('onRequest', protect)
    const config = { deadline: 0 }
    for (const url of [path, `${path}/*`]) {
      scope.all(url, { config, schema: { hide: true } as never }, async (request, reply) => {
        board ??= open()
        const { routing } = await board.catch((error) => {
          board = undefined
          throw error
        })
        reply.hijack()
        reply.raw.setHeader('content-security-policy', POLICY)
        routing(request.raw, reply.raw)
      })
    }
  })
}

export default fp(queues, {
  name: 'plinth-queues',
  fastify: '5.x',
  dependencies: ['plinth-redis', 'plinth-tasks'],
})
