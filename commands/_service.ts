import type { ServiceDefinition } from '../src/define-service.ts'
import { locateService, type ServiceLocation } from '../src/process/locate.ts'

/** A service and where it lives. */
export interface LoadedService extends ServiceLocation {
  service: ServiceDefinition
}

/**
 * Loads the service that a `manage` script belongs to.
 *
 * @throws {PlinthError} SERVICE_NOT_FOUND, SERVICE_BROKEN
 */
export async function loadService(script: string): Promise<LoadedService> {
  const location = locateService(script)
  const { importDefault } = await import('../src/process/load.ts')
  const service = await importDefault<ServiceDefinition>(
    location.file,
    'what defineService returns',
    'object',
  )
  return { ...location, service }
}
