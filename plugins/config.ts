import fastifyEnv from '@fastify/env'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { EnvironmentDefaults } from '../src/config/defaults.ts'
import { type Config, type ConfigOwner, readConfig, readerOptions } from '../src/config/read.ts'
import { type KitConfig, kitOwner, type ServiceConfig } from '../src/config/schema.ts'
import { protect } from '../src/config/secret.ts'
import { assertOnce, checkOptions } from '../src/plugin.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The real values, frozen; printed or logged as a whole they are redacted. */
    config: Readonly<KitConfig & ServiceConfig>
  }
}

/** Either what was read already, or what to read and from where. */
export type ConfigPluginOptions =
  | { config: Config<unknown> }
  | {
      config?: never
      /** Whose variables are read; default: the kit's. */
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
 * Decorates `app.config` through @fastify/env.
 *
 * @throws {PlinthError} CONFIG_INVALID when variables are bad: the application does not start
 */
async function config(app: FastifyInstance, options: ConfigPluginOptions): Promise<void> {
  checkOptions<AnyOptions>('config', options, {
    config: 'object?',
    owners: 'owners?',
    env: 'object?',
    dotenv: 'dotenv?',
    defaults: 'object?',
  })
  assertOnce(app, 'config', 'config')
  const { values, schema } = options.config ?? readConfig(options.owners ?? [kitOwner], options)
  await app.register(fastifyEnv, readerOptions(schema, { ...values }))
  protect(app.config, schema)
}

export default fp(config, { name: 'plinth-config', fastify: '5.x' })
