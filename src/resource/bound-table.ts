import type { RegisteredModule } from './registry.ts'
import { type AnyResource, bindResource } from './resource.ts'

/** Resources and modules by name, as deep as modules nest, of an app whose service is not known. */
export interface BoundTable {
  readonly [name: string]: BoundTable & AnyResource
}

/** The resources of `modules` as a table, in which each call runs through `run`. */
export function bindResources(
  modules: readonly RegisteredModule[],
  run: <T>(fn: () => T) => T,
): BoundTable {
  const bound = modules.map((module) => {
    const own = module.listings.map((listing) => [
      keyOf(listing),
      bindResource(listing.entry.resource, run),
    ])
    return [
      keyOf(module),
      { ...Object.fromEntries(own), ...bindResources(module.modules, run) },
    ] as const
  })
  return Object.fromEntries(bound)
}

/** What it is called within its module. */
function keyOf({ name }: { readonly name: string }): string {
  return name.slice(name.lastIndexOf('.') + 1)
}
