import type { FastifyInstance } from 'fastify'
import type { DatabaseOptions } from '../plugins/database.ts'
import type { SlowLog } from './database/dialect/driver.ts'
import { openDatabase, parseDatabaseUrl } from './database/open.ts'
import { type DatabaseLimits, DEFAULT_LIMITS, LIMIT_KINDS } from './database/types.ts'
import { assertKeys, type ServiceDefinition } from './define-service.ts'
import { errors } from './errors.ts'
import { pluginsOf } from './kit.ts'
import { checkOptions } from './plugin-guards.ts'
import { type AppOptions, planPlugins, readServiceConfig } from './service.ts'

/** What `app` has of the same names. */
export type ServiceDatabase = Pick<FastifyInstance, 'db' | 'config'>

/**
 * Runs `work` with the database of a service, and closes it whatever happens: without an app, which takes several times as long
 * to load. A statement may take as long as it wants.
 *
 * @param log where slow statements are told of; default: nowhere
 * @throws {PlinthError} SERVICE_INVALID, CONFIG_INVALID, DATABASE_MISSING, DATABASE_URL_INVALID, MODEL_INVALID, DATABASE_UNAVAILABLE, PACKAGE_MISSING
 */
export async function withServiceDatabase<T>(
  service: ServiceDefinition,
  options: Pick<AppOptions, 'env' | 'dotenv'> & { root: string; log?: SlowLog },
  work: (database: ServiceDatabase) => Promise<T>,
): Promise<T> {
  const { root, log } = options
  assertKeys(service)
  const read = readServiceConfig(service, options)
  const own = pluginsOf(service).filter(({ name }) => name === 'database')
  const [planned] = planPlugins(service, read, root, own)
  if (!planned?.options) throw errors.DATABASE_MISSING()
  const {
    url,
    models = [],
    actor,
    root: start = root,
    decorator: _,
    ...given
  } = planned.options as DatabaseOptions
  const limits = checkOptions<Partial<DatabaseLimits>>('database', given, LIMIT_KINDS)
  const { db, close } = await openDatabase(parseDatabaseUrl(url, start), {
    limits: { ...DEFAULT_LIMITS, ...limits, queryTimeout: 0 },
    models,
    user: () => actor?.(),
    ...(log && { log: () => log }),
  })
  try {
    return await work({ db, config: read.values as FastifyInstance['config'] })
  } finally {
    await close()
  }
}
