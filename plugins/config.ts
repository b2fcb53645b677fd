import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { BLUEKING, BLUEKING_APIS } from '../src/config/blueking.ts'
import type { EnvironmentDefaults } from '../src/config/defaults.ts'
import type { Config, ConfigOwner } from '../src/config/read.ts'
import { HOST, type KitConfig, milliseconds, type ServiceConfig } from '../src/config/schema.ts'
import { protect } from '../src/config/secret.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions } from '../src/plugin-guards.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The real values, frozen; printed or logged as a whole they are redacted. */
    config: Readonly<KitConfig & ServiceConfig>
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Static<typeof env> {}
}

/** How the process runs and what it tells the platform. */
const env = Type.Object({
  NODE_ENV: Type.Enum(['development', 'test', 'production'], {
    description: 'The mode of the process.',
    derived: 'production where BKPAAS_ENVIRONMENT is stag or prod, otherwise development',
  }),
  HOST: Type.String({
    description: 'The address that the server listens on.',
    ...HOST,
    derived: '0.0.0.0 in production, otherwise 127.0.0.1',
  }),
  PORT: Type.Integer({
    description: 'The port that the server listens on; 0 takes any free one.',
    default: 8000,
    minimum: 0,
    maximum: 65535,
  }),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    description: 'Log lines below this level are not written.',
    default: 'info',
  }),
  LOG_FORMAT: Type.Enum(['plinth', 'bk'], {
    description: 'How the fields of log lines are called; bk: as BlueKing calls them.',
    default: 'plinth',
  }),
  TRUST_PROXY: Type.Union([Type.Boolean(), Type.String({ format: 'proxies' })], {
    description: 'The proxies whose X-Forwarded-* headers are believed; true believes everyone.',
    default: false,
    expected:
      'true, false, or a comma list of addresses, CIDR ranges, loopback, linklocal and uniquelocal',
  }),
  BODY_LIMIT: Type.Integer({
    description: 'The largest request body, in bytes.',
    default: 1_048_576,
    minimum: 1,
  }),
  DRAIN_DELAY: milliseconds(
    'How long readiness fails before the server closes when it stops, in ms.',
    { derived: '5000 in production, otherwise 0' },
    0,
  ),
  SHUTDOWN_TIMEOUT: milliseconds(
    'How long requests in flight may take to finish when the server stops, in ms.',
    20_000,
  ),
  REDIS_PREFIX: Type.Optional(
    Type.String({
      description: 'What the names begin with of all that the service keeps in Redis.',
      pattern: '^[\\w.:-]+$',
      expected: 'letters, digits and _ . : -',
      derived: 'the application (BKPAAS_APP_ID, else the service), its module and the environment',
    }),
  ),
  ...BLUEKING,
  ...BLUEKING_APIS,
  BKPAAS_ENVIRONMENT: Type.Optional(
    Type.Enum(['dev', 'stag', 'prod'], { description: 'Where a BlueKing PaaS runs this process.' }),
  ),
})

/** Either what was read already, or what to read and from where. */
export type ConfigPluginOptions =
  | { config: Config<unknown> }
  | {
      config?: never
      /** Whose variables are read; default: its own, of how a process runs. Those of another plugin are in its `definition.env`. */
      owners?: readonly ConfigOwner[]
      /** Default `process.env`. */
      env?: NodeJS.ProcessEnv
      /** Path of the .env file, `false` for none; default `.env` in the working directory. */
      dotenv?: string | false
      /** What variables are where nothing sets them, by environment: `dev`, `stag` and `prod`. */
      defaults?: EnvironmentDefaults
    }

type AnyOptions = {
  [Name in keyof Exclude<ConfigPluginOptions, { config: Config<unknown> }>]?: unknown
}

/**
 * Decorates `app.config`; alone in an app through @fastify/env.
 *
 * @throws {PlinthError} CONFIG_INVALID when variables are bad: the application does not start
 */
async function register(app: FastifyInstance, options: ConfigPluginOptions): Promise<void> {
  checkOptions<AnyOptions>('config', options, {
    config: 'object?',
    owners: 'owners?',
    env: 'object?',
    dotenv: 'dotenv?',
    defaults: 'object?',
  })
  assertFree(app, 'config', 'config')
  if (options.config) return give(app, options.config.values)
  const { default: fastifyEnv } = await import('@fastify/env')
  const { readConfig } = await import('../src/config/read.ts')
  const { validator } = await import('../src/config/ajv.ts')
  const own = [{ owner: 'config', schema: env }]
  const { values, schema } = readConfig(options.owners ?? own, options)
  await app.register(fastifyEnv, { schema, data: { ...values }, env: false, ajv: validator() })
  protect(app.config, schema)
}

/** What was read and checked already, as @fastify/env gives it: to load that is a fifteenth of the CPU of a start. */
function give(app: FastifyInstance, values: unknown): void {
  app.decorate('config', values as never)
  app.decorate('getEnvs', (() => values) as never)
  app.decorateRequest('getEnvs', (() => values) as never)
}

export default definePlugin({
  name: 'config',
  env,
  decorators: ['config'],
  options: ({ read }): ConfigPluginOptions => ({ config: read }),
  register,
})
