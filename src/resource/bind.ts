import type { ModuleTable, Resources } from './module.ts'
import type { AnyResource } from './resource.ts'

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
