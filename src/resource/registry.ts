import { errors } from '../errors.ts'
import type { AnyDefined } from './contract.ts'
import type { Module, ModuleTable, Resources } from './module.ts'
import type { AnyResource } from './resource.ts'

/** Every resource of `modules` with its full name. */
export function* eachResource(
  modules: ModuleTable,
): Generator<{ name: string; resource: AnyResource; module: Module }> {
  for (const [moduleName, module] of Object.entries(modules)) {
    for (const [name, resource] of Object.entries(module.resources)) {
      yield { name: `${moduleName}.${name}`, resource, module }
    }
  }
}

/** Whether `resource` has a route: it says so, else its module. */
export function isExposed({ definition }: AnyResource, { expose = true }: Module): boolean {
  return definition.expose ?? expose
}

/**
 * The full name of every resource of `modules`.
 *
 * @throws {PlinthError} RESOURCE_INVALID where one has two
 */
export function namesOf(modules: ModuleTable): Map<AnyDefined, string> {
  const names = new Map<AnyDefined, string>()
  for (const { name, resource } of eachResource(modules)) {
    const other = names.get(resource)
    if (other !== undefined)
      throw errors.RESOURCE_INVALID(name, `it is ${other} already; define it once for each name`)
    names.set(resource, name)
  }
  return names
}

/**
 * Checks that no two resources answer the same requests, whatever their path parameters are called.
 *
 * @throws {PlinthError} RESOURCE_INVALID with the names of both
 */
export function assertDistinctRoutes(modules: ModuleTable): void {
  const taken = new Map<string, string>()
  for (const { name, resource, module } of eachResource(modules)) {
    if (!isExposed(resource, module)) continue
    const { method = 'GET', path = '/' } = resource.definition
    const route = `${method} ${module.prefix}${path}`
    const key = route.replaceAll(/:\w+/g, ':').replace(/\/+$/, '')
    const other = taken.get(key)
    if (other) throw errors.RESOURCE_INVALID(name, `${other} is served at ${route} already`)
    taken.set(key, name)
  }
}

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

/** The resources of an app: the same table and types, each call in a context. */
export type BoundResources<Modules extends ModuleTable> = Resources<Modules>

/** `modules` as a table of resources whose calls run through `run`. */
export function bindResources<Modules extends ModuleTable>(
  modules: Modules,
  run: <T>(fn: () => T) => T,
): BoundResources<Modules> {
  const bound = Object.entries(modules).map(([name, module]) => [
    name,
    Object.fromEntries(
      Object.entries(module.resources).map(([key, resource]) => [key, bind(resource, run)]),
    ),
  ])
  return Object.fromEntries(bound)
}

function bind(resource: AnyResource, run: <T>(fn: () => T) => T): AnyResource {
  const call = (...args: Parameters<AnyResource>) => run(() => resource(...args))
  const within = <Args extends unknown[], T>(method: (...args: Args) => T) => {
    return (...args: Args) => run(() => method(...args))
  }
  const { refresh, cacheless, invalidate, enqueue, bulk } = resource
  return Object.assign(call, resource, {
    refresh: within(refresh),
    cacheless: within(cacheless),
    invalidate: within(invalidate),
    enqueue: within(enqueue),
    bulk: within(bulk),
  }) as AnyResource
}
