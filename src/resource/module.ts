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
