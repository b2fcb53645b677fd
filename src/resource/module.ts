import { errors } from '../errors.ts'
import type { AnyResource } from './resource.ts'
import type { Security } from './security.ts'

/** Resources by name: `cities.retrieve` is `{ cities: defineModule({ resources: { retrieve } }) }`. */
export type ResourceTable = Readonly<Record<string, AnyResource>>

export interface Module<Resources extends ResourceTable = ResourceTable> {
  /** Where its routes begin, `/cities`. */
  readonly prefix: string
  /** Groups its operations in the API document. */
  readonly tags?: readonly string[]
  /** How its clients authenticate, for the API document; default: as the service says. It enforces nothing. */
  readonly security?: Security
  /** Whether its resources have a route, where they do not say it themselves; default true. */
  readonly expose?: boolean
  /** Whether clients may have its resources run as tasks, where they do not say it themselves; default: as the service says. */
  readonly async?: boolean
  readonly resources: Resources
}

export type ModuleTable = Readonly<Record<string, Module>>

/** The resources of all modules, as they are called: `{ cities: { retrieve } }`. */
export type Resources<Modules extends ModuleTable> = {
  readonly [M in keyof Modules]: Modules[M]['resources']
}

/** Defines a module: a group of resources under one prefix, served in an encapsulated Fastify context. */
export function defineModule<const Resources extends ResourceTable>(
  module: Module<Resources>,
): Module<Resources> {
  return module
}

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
export function namesOf(modules: ModuleTable): Map<AnyResource, string> {
  const names = new Map<AnyResource, string>()
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
