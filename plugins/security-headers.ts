import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions, requirePackages } from '../src/plugin-guards.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  SECURITY_HEADERS: Type.Boolean({
    description: 'Send the headers that tell browsers what they may not do with answers.',
    default: false,
  }),
})
type Env = Static<typeof env>

export interface SecurityHeadersOptions {
  /** Other options of `@fastify/helmet`. Default: its own, and a `Content-Security-Policy` for what is no page. */
  helmet?: object
}

/** For answers that are data: nothing is loaded, and nobody frames them. Pages of the kit have their own. */
const contentSecurityPolicy = {
  useDefaults: false,
  directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
}

/**
 * Sends the headers of `@fastify/helmet` with every answer. A route of pages sets its own `content-security-policy`.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PACKAGE_MISSING
 */
async function register(app: FastifyInstance, options: SecurityHeadersOptions): Promise<void> {
  checkOptions<SecurityHeadersOptions>('security-headers', options, { helmet: 'object?' })
  requirePackages('security-headers', ['@fastify/helmet'])
  const { default: helmet } = await import('@fastify/helmet')
  await app.register(helmet, { contentSecurityPolicy, ...options.helmet })
}

export default definePlugin({
  name: 'security-headers',
  env,
  after: ['request-log', 'envelope'],
  options: ({ env, named }: PluginGiven<Env>): SecurityHeadersOptions | string =>
    env.SECURITY_HEADERS ? {} : `set ${named('SECURITY_HEADERS')}=true`,
  register,
})
