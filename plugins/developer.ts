import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import type { ConfigVariable } from '../src/config/read.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions } from '../src/plugin-guards.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  DEVELOPER: Type.Boolean({
    description:
      'Serve /_/, where a developer sees what the service has and does. Never in production, whatever is set.',
    derived: 'true in development, otherwise false',
  }),
})
type Env = Static<typeof env>

export interface DeveloperOptions {
  /** Above the page; default `Service`. */
  title?: string
  /** Default `0.0.0`. */
  version?: string
  /** The configuration that it shows, without secrets; default: none. */
  variables?: readonly ConfigVariable[]
  /**
   * Under which names it may be asked for, without ports, from any machine: `['dev.internal']`. Default: `localhost` and the
   * addresses of this machine, from this machine alone.
   */
  hosts?: readonly string[]
}

/**
 * Serves `/_/`, a page of what the app has and of what it has done since the page was opened; `/` leads there where nothing else
 * is. Where NODE_ENV is `production` it does nothing. Register it before what is to be seen.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
async function register(app: FastifyInstance, options: DeveloperOptions): Promise<void> {
  checkOptions<DeveloperOptions>('developer', options, {
    title: 'text?',
    version: 'text?',
    variables: 'list?',
    hosts: 'texts?',
  })
  if (process.env.NODE_ENV === 'production') return
  const { title = 'Service', version = '0.0.0', variables = [], hosts } = options
  const { serveDeveloper } = await import('../src/developer/serve.ts')
  serveDeveloper(app, { title, version, variables, ...(hosts && { hosts }) })
}

export default definePlugin({
  name: 'developer',
  env,
  after: ['config', 'request-log', 'telemetry'],
  options({ env, read, service, named }: PluginGiven<Env>): DeveloperOptions | string {
    if (read.values.NODE_ENV === 'production') return 'it is not for production (NODE_ENV)'
    if (!env.DEVELOPER) return `set ${named('DEVELOPER')}=true`
    const { name, version } = service
    return { title: name, ...(version !== undefined && { version }), variables: read.variables }
  },
  register,
})
