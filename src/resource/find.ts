import { errors } from '../errors.ts'
import type { ModuleTable, Resources } from './module.ts'
import type { AnyResource } from './resource.ts'

/**
 * The resource that `name` (`cities.retrieve`) names.
 *
 * @throws {PlinthError} RESOURCE_UNKNOWN with the names there are
 */
export function findResource(resources: Resources<ModuleTable>, name: string): AnyResource {
  const [module = '', key = ''] = name.split('.')
  const table = Object.hasOwn(resources, module) ? resources[module] : undefined
  const resource = table && Object.hasOwn(table, key) ? table[key] : undefined
  if (resource && name === `${module}.${key}`) return resource
  const known = table
    ? Object.keys(table).map((one) => `${module}.${one}`)
    : Object.keys(resources).map((one) => `${one}.*`)
  throw errors.RESOURCE_UNKNOWN(name, `there are ${known.join(', ')}`)
}
