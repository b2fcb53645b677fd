import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { found } from '../src/findings.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, requirePackages } from '../src/plugin-guards.ts'
import { Remotes } from '../src/remote/remotes.ts'
import { UpstreamClients } from '../src/upstream/clients.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What calls other systems. */
    upstream: UpstreamClients
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  REMOTE_USES: Type.Optional(
    Type.String({
      description:
        'The file to write, when a process ends, which resources of other services it has called.',
      minLength: 1,
      expected: 'the path of a file',
    }),
  ),
})
type Env = Static<typeof env>

export interface UpstreamOptions {
  /** Who this service says it is to other services, `orders/1.2.0`; default: nobody. */
  client?: string
  /** The file that tells which of their resources it has called; it needs `client`. Default: none. */
  uses?: string
}

/**
 * Lets resources of `defineApi` call other systems, and looks at those that the app has before it serves. Connections are made when
 * they are needed, and closed with the app.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE; when the app gets ready API_INVALID, PACKAGE_MISSING
 */
async function register(app: FastifyInstance, options: UpstreamOptions): Promise<void> {
  checkOptions<UpstreamOptions>('upstream', options, { client: 'text?', uses: 'text?' })
  assertFree(app, 'upstream', 'upstream')
  const clients = new UpstreamClients(app.log)
  app.decorate('upstream', clients)
  const { client, uses } = options
  const remotes = client === undefined ? undefined : new Remotes(client)
  if (remotes) app.decorate('remotes', remotes)
  app.addHook('onReady', async () => {
    if (!app.hasDecorator('registry')) return
    const { assertApis } = await import('../src/remote/api.ts')
    const packages = assertApis(app)
    if (packages.length === 0) return
    requirePackages('upstream', packages)
    await clients.open()
  })
  app.addHook('onClose', async () => {
    await clients.close()
    if (uses !== undefined) remotes?.write(uses)
  })
}

export default definePlugin({
  name: 'upstream',
  after: ['config', 'deadline', 'redis'],
  decorators: ['upstream'],
  env,
  checks: [
    ({ config }, { production }) => {
      const message = "BK_API_VERIFY_TLS is false: anybody on the way can be BlueKing's APIs"
      return production && config?.BK_API_VERIFY_TLS === false
        ? [found('apis-unverified', message)]
        : []
    },
  ],
  options: ({ env, service: { name, version = '0.0.0' } }): UpstreamOptions => ({
    // It is a header.
    client: encodeURI(`${name}/${version}`),
    ...(env.REMOTE_USES !== undefined && { uses: env.REMOTE_USES }),
  }),
  register,
})
