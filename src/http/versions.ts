import { errors } from '../errors.ts'
import type { ResourceRegistry } from '../resource/registry.ts'

/** Which versions of its modules a service has at once, for clients that say by a header which they mean. */
export interface Versions {
  /** The header that says it; default `x-api-version`. */
  readonly header?: string
  /** Where the modules of each are, by what the header says of it: `{ '1': '/v1', '2': '/v2' }`. */
  readonly prefixes: Readonly<Record<string, string>>
  /** The version of who says none, neither there nor in the path; default: none, and that is 404. */
  readonly default?: string
}

/**
 * Makes of a request for `/orders` one for `/v2/orders` where its header says so. What is in no version, and a path that says one
 * itself, stays as it is.
 */
export class VersionedPaths {
  readonly header: string
  readonly #versions: Versions
  /** The first parts of the paths under each prefix. */
  readonly #parts = new Map<string, ReadonlySet<string>>()

  constructor(versions: Versions) {
    this.header = (versions.header ?? 'x-api-version').toLowerCase()
    this.#versions = versions
  }

  /** @throws {PlinthError} RESOURCE_INVALID where nothing is under a prefix, or the default is no version */
  learn(registry: ResourceRegistry): void {
    const { prefixes, default: usual } = this.#versions
    const paths = [...registry.listings()].flatMap(({ exposed, path }) => (exposed ? [path] : []))
    for (const [version, prefix] of Object.entries(prefixes)) {
      const under = paths.filter((path) => path.startsWith(`${prefix}/`))
      if (under.length === 0)
        throw errors.RESOURCE_INVALID(
          `(version ${version})`,
          `no module is under ${prefix}; give one that prefix, or take it out of versions`,
        )
      this.#parts.set(prefix, new Set(under.map((path) => firstPart(path.slice(prefix.length)))))
    }
    if (usual !== undefined && !Object.hasOwn(prefixes, usual))
      throw errors.RESOURCE_INVALID(
        '(versions)',
        `their default is ${usual}; there are ${Object.keys(prefixes).join(', ')}`,
      )
  }

  /** What the router looks for in place of `url`. */
  urlOf(url: string, headers: Readonly<Record<string, string | string[] | undefined>>): string {
    const { prefixes, default: usual } = this.#versions
    const version = String(headers[this.header] ?? usual)
    const prefix = Object.hasOwn(prefixes, version) ? prefixes[version] : undefined
    const isThere = prefix !== undefined && this.#parts.get(prefix)?.has(firstPart(url))
    return isThere ? prefix + url : url
  }

  /** Whether the header may have had a say in what is answered. */
  isVersioned(url: string): boolean {
    const part = firstPart(url)
    for (const parts of this.#parts.values()) if (parts.has(part)) return true
    return false
  }
}

/** `orders` of `/orders/5?page=2`. */
function firstPart(url: string): string {
  return /^\/([^/?#]*)/.exec(url)?.[1] ?? ''
}
