import type { FastifyInstance } from 'fastify'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, requirePackages } from '../src/plugin-guards.ts'
import { UpstreamClients } from '../src/upstream/clients.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What calls other systems. */
    upstream: UpstreamClients
  }
}

/**
 * Lets resources of `defineApi` call other systems, and looks at those that the app has before it serves. Connections are made when
 * they are needed, and closed with the app.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE; when the app gets ready API_INVALID, PACKAGE_MISSING
 */
async function register(app: FastifyInstance, options: object): Promise<void> {
  checkOptions('upstream', options, {})
  assertFree(app, 'upstream', 'upstream')
  const clients = new UpstreamClients(app.log)
  app.decorate('upstream', clients)
  app.addHook('onReady', async () => {
    if (!app.hasDecorator('registry')) return
    const { assertApis } = await import('../src/remote/api.ts')
    const packages = assertApis(app)
    if (packages.length === 0) return
    requirePackages('upstream', packages)
    await clients.open()
  })
  app.addHook('onClose', () => clients.close())
}

export default definePlugin({
  name: 'upstream',
  after: ['config', 'deadline', 'redis'],
  decorators: ['upstream'],
  checks: [
    ({ config }, { production }) => {
      const message = "BK_API_VERIFY_TLS is false: anybody on the way can be BlueKing's APIs"
      return production && config?.BK_API_VERIFY_TLS === false
        ? [{ level: 'warning', message }]
        : []
    },
  ],
  options: () => ({}),
  register,
})
