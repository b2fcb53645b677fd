import { Type } from 'typebox'
import { errors } from '../errors.ts'
import { type ReadTask, readTaskOptions, readTimeout } from '../task/declared.ts'
import { type Access, accessWithin } from './access.ts'
import { type ResourceCache, readCachePolicy } from './cache-policy.ts'
import { assertCallLog } from './call-log.ts'
import type { AnyDefined, TaskOptions } from './contract.ts'
import type { ModuleScope, ModuleSettings, ModuleTable } from './module.ts'
import { limitsWithin, type PlacedLimit } from './rate-limit.ts'
import { hasFiles } from './stream.ts'

/** A resource of an app. */
export interface Registered {
  /** Its own in this app, `admin.users.list`: what is cached and enqueued is found by it. */
  readonly name: string
  readonly resource: AnyDefined
  /** Where it is listed: mostly once, and then under its name. */
  readonly listings: readonly Listing[]
  /** How it runs as a task, where the caller says nothing else. */
  readonly task: ReadTask<TaskOptions<unknown, unknown>>
  /** Milliseconds that a call of it may take, where it says so; 0: as long as it takes. */
  readonly timeout: number | undefined
  /** How its results are cached, where they are; times are milliseconds. */
  readonly cache: ResourceCache | undefined
  /** Whether this process runs its tasks and its schedule: one of its modules runs here. */
  readonly runsHere: boolean
  /** Who may call it, but for a route of another module that lists it, too; `undefined`: nobody has decided it. */
  readonly access: Access | undefined
}

/** One that is being read. */
interface Draft extends Registered {
  readonly listings: Listing[]
  runsHere: boolean
}

/** A resource in a module. */
export interface Listing {
  /** `admin.users.list`; where the resource is listed before, it is called otherwise. */
  readonly name: string
  readonly entry: Registered
  readonly module: RegisteredModule
  /** Below the prefix of the app: `/admin/users/:id`. */
  readonly path: string
  /** Whether it has a route, in a process that runs its module. */
  readonly exposed: boolean
  /** Who may call it here; `undefined`: nobody has decided it. */
  readonly access: Access | undefined
  /** How often it may be asked for here. */
  readonly limits: readonly PlacedLimit[]
}

/** A module of an app, with what it inherits. */
export interface RegisteredModule extends ModuleSettings, ModuleScope {
  /** `admin.users` */
  readonly name: string
  /** Below that of the module around it; empty where it has none. */
  readonly prefix: string
  /** Whether this process serves it, and runs its tasks and schedules; its resources can be called anyway. */
  readonly runsHere: boolean
  /** Where its resources are performed; undefined: here. */
  readonly remote: string | undefined
  /** What is decided for what is in it and says nothing else. */
  readonly access: Access | undefined
  /** How often what is in it may be asked for. */
  readonly limits: readonly PlacedLimit[]
  /** Its own, in their order. */
  readonly listings: readonly Listing[]
  readonly modules: readonly RegisteredModule[]
}

/** The resources of an app by their names: one for each, which is known before anything is called. */
export class ResourceRegistry implements Iterable<Registered> {
  readonly modules: readonly RegisteredModule[]
  readonly #byResource = new Map<AnyDefined, Draft>()
  readonly #byName = new Map<string, Registered>()
  readonly #only: readonly string[] | undefined
  readonly #remotes: Remotes

  /**
   * @param settings what modules inherit
   * @param limits how often anything may be asked for
   * @param only the names of those that run here, each with what is in it; default: all
   * @param remotes where modules are performed, by their names, each with what is in it; in place of what they say themselves
   * @throws {PlinthError} RESOURCE_INVALID where two have one name or answer the same requests, or one cannot be
   */
  constructor(
    table: ModuleTable,
    settings: ModuleSettings = {},
    only?: readonly string[],
    limits: readonly PlacedLimit[] = [],
    remotes: Remotes = {},
  ) {
    this.#only = only
    this.#remotes = remotes
    this.modules = this.#readModules(table, {
      ...settings,
      name: '',
      path: '',
      access: undefined,
      limits,
      remote: undefined,
    })
    assertDistinctRoutes(this.listings())
    this.#readAliases()
  }

  /** Every resource once, in the order of the modules. */
  [Symbol.iterator](): Iterator<Registered> {
    return this.#byResource.values()
  }

  /** Every resource as often as it is listed, in the order of the modules. */
  *listings(modules = this.modules): Generator<Listing> {
    for (const module of modules) {
      yield* module.listings
      yield* this.listings(module.modules)
    }
  }

  /** What `resource` is in this app. @throws {PlinthError} RESOURCE_UNLISTED */
  of(resource: AnyDefined): Registered {
    const entry = this.#byResource.get(resource)
    if (!entry) throw errors.RESOURCE_UNLISTED(resource.definition.summary)
    return entry
  }

  has(name: string): boolean {
    return this.#byName.has(name)
  }

  /** What `name` names, under any of its names. @throws {PlinthError} RESOURCE_UNKNOWN with names that there are */
  find(name: string): Registered {
    const entry = this.#byName.get(name)
    if (entry) return entry
    const names = Array.from(this.listings(), (listing) => listing.name)
    const [module = ''] = name.split('.')
    const near = names.filter((one) => one.startsWith(`${module}.`))
    const known = near.length > 0 ? near : this.modules.map((one) => `${one.name}.*`)
    throw errors.RESOURCE_UNKNOWN(name, `there are ${known.join(', ')}`)
  }

  #readModules(table: ModuleTable, outer: Outer): RegisteredModule[] {
    return Object.entries(table).map(([key, module]) => {
      const name = nameWithin(outer.name, key)
      if (name === KIT) throw errors.RESOURCE_INVALID(`${KIT}.*`, 'that name is for the kit itself')
      const { prefix = '', resources = {}, modules = {}, plugins, hooks } = module
      const scope = { ...(plugins && { plugins }), ...(hooks && { hooks }) }
      const twice = Object.keys(resources).find((one) => Object.hasOwn(modules, one))
      if (twice !== undefined)
        throw errors.RESOURCE_INVALID(`${name}.${twice}`, 'a module beside it is called so, too')
      if (prefix !== '' && !prefix.startsWith('/'))
        throw errors.RESOURCE_INVALID(`${name}.*`, `its prefix ${prefix} does not begin with /`)
      const access = accessWithin(outer.access, module, `${name}.*`)
      const limits = limitsWithin(outer.limits, module, `${name}.*`)
      const inherited = { ...settingsOf(outer), ...settingsOf(module), access, limits }
      const path = `${outer.path}${prefix}`
      const listings: Listing[] = []
      const inner: RegisteredModule[] = []
      const remote = this.#remotes[name] ?? module.remote ?? outer.remote
      const runsHere = remote === undefined && this.#runsHere(name)
      const place = { name, prefix, runsHere, remote }
      const own = { ...inherited, ...scope, ...place, listings, modules: inner }
      for (const [one, resource] of Object.entries(resources))
        listings.push(this.#list(nameWithin(name, one), resource, own, path))
      // After its own: a resource that is listed twice is called as where it comes first.
      inner.push(...this.#readModules(modules, { ...inherited, name, path, remote }))
      if (module.prefix === undefined) assertNoRoutes(listings)
      return own
    })
  }

  /** After all names: none of them is what another one was called. */
  #readAliases(): void {
    for (const entry of this) {
      for (const alias of entry.resource.definition.aliases ?? []) {
        const other = this.#byName.get(alias)
        if (other)
          throw errors.RESOURCE_INVALID(entry.name, `its alias ${alias} is a name of ${other.name}`)
        this.#byName.set(alias, entry)
      }
    }
  }

  #runsHere(name: string): boolean {
    return this.#only?.some((one) => name === one || name.startsWith(`${one}.`)) ?? true
  }

  #list(name: string, resource: AnyDefined, module: RegisteredModule, prefix: string): Listing {
    const { cache, path = '/', expose = module.expose ?? true } = resource.definition
    const times = readCachePolicy(name, cache, resource.definition)
    assertUnkept(name, resource)
    assertStatus(name, resource)
    assertCallLog(name, resource.definition.log)
    if (path !== '' && !path.startsWith('/'))
      throw errors.RESOURCE_INVALID(name, `its path ${path} does not begin with /`)
    const access = accessWithin(module.access, resource.definition, name)
    const limits = limitsWithin(module.limits, resource.definition, name)
    const entry =
      this.#byResource.get(resource) ?? draft(name, resource, module, { access, cache: times })
    entry.runsHere ||= module.runsHere
    // As Fastify joins them: a prefix may end with a slash.
    const full = `${prefix}${path === '/' ? '' : path}`.replaceAll('//', '/') || '/'
    const listing: Listing = { name, entry, module, path: full, exposed: expose, access, limits }
    entry.listings.push(listing)
    this.#byResource.set(resource, entry)
    this.#byName.set(name, entry)
    return listing
  }
}

function draft(
  name: string,
  resource: AnyDefined,
  { queue }: ModuleSettings,
  known: Pick<Registered, 'access' | 'cache'>,
): Draft {
  const { task: given, timeout: time } = resource.definition
  const task: Registered['task'] = readTaskOptions(name, {
    ...(queue !== undefined && { queue }),
    ...given,
  })
  const timeout = time === undefined ? undefined : readTimeout(name, 'its timeout', time)
  return { ...known, name, resource, task, timeout, listings: [], runsHere: false }
}

/** What the names of its own operations begin with. */
const KIT = 'plinth'

/** URLs by the names of modules. */
type Remotes = Readonly<Record<string, string>>

/** What is around a module. */
interface Outer extends ModuleSettings {
  remote: string | undefined
  name: string
  path: string
  access: Access | undefined
  limits: readonly PlacedLimit[]
}

function nameWithin(outer: string, key: string): string {
  const name = outer === '' ? key : `${outer}.${key}`
  if (/^[^.,\s]+$/.test(key)) return name
  const problem = `a name has no dot, comma or space, got ${JSON.stringify(key)}`
  throw errors.RESOURCE_INVALID(name, problem)
}

/** What of `settings` is inherited. */
function settingsOf(settings: ModuleSettings): ModuleSettings {
  const { tags, security, expose, async, idempotency, queue } = settings
  return {
    ...(tags !== undefined && { tags }),
    ...(security !== undefined && { security }),
    ...(expose !== undefined && { expose }),
    ...(async !== undefined && { async }),
    ...(idempotency !== undefined && { idempotency }),
    ...(queue !== undefined && { queue }),
  }
}

/** @throws {PlinthError} RESOURCE_INVALID */
function assertNoRoutes(listings: readonly Listing[]): void {
  const served = listings.find(({ exposed }) => exposed)
  if (!served) return
  const problem = `its module has no prefix; give it one, '' for none, or say expose: false`
  throw errors.RESOURCE_INVALID(served.name, problem)
}

/** @throws {PlinthError} RESOURCE_INVALID where it is cached, or runs as a task, and takes what neither can keep */
function assertUnkept(name: string, { definition, request }: AnyDefined): void {
  const { cache, schedule, async } = definition
  if ((cache || schedule || async) && hasFiles(request))
    throw errors.RESOURCE_INVALID(name, 'it takes a file, which no cache or task can keep')
}

const STATUSES: readonly unknown[] = [200, 201, 202, 204]

/** @throws {PlinthError} RESOURCE_INVALID where no success has that status, or it has no body for the response */
function assertStatus(name: string, { definition, response }: AnyDefined): void {
  const { status = 200 } = definition
  if (!STATUSES.includes(status))
    throw errors.RESOURCE_INVALID(name, `its status is ${status}; there are ${STATUSES.join(', ')}`)
  if (status === 204 && !Type.IsNull(response))
    throw errors.RESOURCE_INVALID(
      name,
      'its status is 204, which has no body, and it has a response; leave that out, or take 200',
    )
}

/**
 * Checks that no two resources answer the same requests, whatever their path parameters are called.
 *
 * @throws {PlinthError} RESOURCE_INVALID with the names of both
 */
function assertDistinctRoutes(listings: Iterable<Listing>): void {
  const taken = new Map<string, string>()
  for (const { name, entry, path, exposed } of listings) {
    if (!exposed) continue
    const route = `${entry.resource.definition.method ?? 'GET'} ${path}`
    const key = route.replaceAll(/:\w+/g, ':').replace(/\/+$/, '')
    const other = taken.get(key)
    if (other) throw errors.RESOURCE_INVALID(name, `${other} is served at ${route} already`)
    taken.set(key, name)
  }
}
