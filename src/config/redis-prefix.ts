import { environmentOf } from './defaults.ts'

/** What of the configuration tells one deployment of a service from the others. */
interface Deployment {
  REDIS_PREFIX?: string | undefined
  BKPAAS_APP_ID?: string | undefined
  BKPAAS_APP_MODULE_NAME?: string | undefined
  BKPAAS_ENVIRONMENT?: string | undefined
  NODE_ENV?: string | undefined
  PLINTH_MODULES?: string | undefined
}

/**
 * What the names begin with of all that a service keeps in Redis: application, module and environment, so that two deployments that
 * share a Redis do not take one another's tasks. Where PLINTH_MODULES deploys one service as several modules of an application
 * they are one, and share.
 *
 * @param name of the service, which is the application where no platform says what that is
 */
export function redisPrefix(name: string, config: Deployment): string {
  if (config.REDIS_PREFIX !== undefined) return config.REDIS_PREFIX
  const isWhole = (config.PLINTH_MODULES ?? ALL) === ALL
  const module = isWhole ? config.BKPAAS_APP_MODULE_NAME : undefined
  const parts = [config.BKPAAS_APP_ID ?? name, module, environmentOf({ ...config }) ?? 'test']
  return parts.filter((part) => part !== undefined).join(':')
}

const ALL = '__all__'
