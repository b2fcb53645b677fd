import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { errors } from '../errors.ts'
import type { Access } from '../resource/access.ts'
import type { Context, User } from '../resource/context.ts'
import type { Listing, ResourceRegistry } from '../resource/registry.ts'

/** Who may call an operation, as it is decided; what permissions say of a certain call is not known. */
export interface DecidedAccess {
  /** `reviews.update` */
  readonly operation: string
  readonly method: string
  readonly path: string
  /** What nobody gets, and what a user: `yes`, `own rows`, a status, or on what it depends: `isAdmin, else 403`. */
  readonly nobody: string
  readonly user: string
}

/** Who may call each operation of an app that has a route, by what is decided. */
export function decidedAccess(registry: ResourceRegistry): DecidedAccess[] {
  return exposed(registry).map(({ name, path, entry, access }) => {
    const { method = 'GET', scope } = entry.resource.definition
    return { operation: name, method, path, ...decided(access, scope !== undefined) }
  })
}

function decided(access: Access | undefined, isScoped: boolean) {
  const rows = isScoped ? 'own rows' : 'yes'
  if (!access || access.auth === 'public') return { nobody: rows, user: rows }
  const { auth, permissions } = access
  if (permissions.length === 0) return { nobody: auth === 'required' ? '401' : rows, user: rows }
  const all = permissions.map(({ name }) => name).join(' and ')
  const denied = [...new Set(permissions.map(({ denied }) => denied))].sort().join(' or ')
  const seen = isScoped ? ` of own rows` : ''
  return {
    nobody: auth === 'required' ? '401' : `${all}${seen}, else 401`,
    user: `${all}${seen}, else ${denied}`,
  }
}

/** Those that have a route in this process. */
export function exposed(registry: ResourceRegistry): Listing[] {
  return [...registry.listings()].filter((one) => one.exposed && one.module.runsHere)
}

/**
 * What somebody gets of an operation: `yes`; `own rows`, of one that has a scope and is of no certain row; the status with which it is
 * refused.
 */
export type Decision = 'yes' | 'own rows' | number

/** By the names of operations, as their resources are called: `{ 'reviews.update': { id: 1, stars: 2 } }`. */
export type SampleRequests = Readonly<Record<string, object>>

/** Users and requests of which `manage check --auth` finds out who gets what. */
export interface AccessSamples<Caller extends string = string> {
  /** Who calls, by a name: as strategies make users, with all that permissions and scopes look at; null: nobody. */
  users: Readonly<Record<Caller, User | null>>
  /**
   * A request of each operation that has permissions, and of those whose row a scope may hide. As a function it may write the rows that they
   * name: it is called in a transaction that is undone at last.
   */
  requests?: SampleRequests | ((context: Context) => Promise<SampleRequests>)
  /** What somebody has to get: `{ 'reviews.update': { ann: 'yes', bob: 404 } }`. What is not said may be anything. */
  expected?: Readonly<Record<string, Readonly<Partial<Record<NoInfer<Caller>, Decision>>>>>
}

/** What the file `access.ts` of a service exports, for `manage check --auth`. */
export function defineSamples<const Caller extends string>(
  samples: AccessSamples<Caller>,
): AccessSamples<Caller> {
  return samples
}

/** One call of one operation. */
export interface TriedCall {
  readonly operation: string
  readonly caller: string
  readonly answer: LightMyRequestResponse
}

interface Injecting {
  inject(request: InjectOptions): Promise<LightMyRequestResponse>
}

/** What `tryOperations` takes: who calls, and with what. */
export interface TryOptions<Caller extends string> {
  /** Who calls, by a name: the headers of each, or what injects their requests, `{ nobody: {}, ann: app.as('ann') }` of `plinth/testing`. */
  callers: Readonly<Record<Caller, InjectOptions['headers'] | Injecting>>
  /** The request of each operation by its name, as its resource is called: `{ 'reviews.update': { id: 1, stars: 2 } }`. */
  requests: Readonly<Record<string, object>>
  /** Called before each call: to put back the rows that the last one has changed. */
  before?(): Promise<void>
  /** Called after each call: to look at the answer, and at rows. */
  after?(call: TriedCall): Promise<void>
}

/**
 * For tests: makes every operation of an app that has a route as each caller, and tells the statuses. What a call does is done.
 *
 * @returns the status of each by operation and caller
 * @throws {PlinthError} RESOURCE_UNKNOWN where `requests` lacks an operation, or has one that there is not: nobody forgets one
 */
export async function tryOperations<const Caller extends string>(
  app: Pick<FastifyInstance, 'registry' | 'inject'>,
  { callers, requests, before, after }: TryOptions<Caller>,
): Promise<Record<string, Record<Caller, number>>> {
  const operations = exposed(app.registry)
  assertSame(operations, requests)
  const matrix: Record<string, Record<string, number>> = {}
  for (const listing of operations) {
    const row: Record<string, number> = {}
    for (const [caller, given] of Object.entries<InjectOptions['headers'] | Injecting>(callers)) {
      await before?.()
      const request = requestOf(listing, requests[listing.name] as object)
      const answer = isInjecting(given)
        ? await given.inject(request)
        : await app.inject({ ...request, ...(given && { headers: given }) })
      row[caller] = answer.statusCode
      await after?.({ operation: listing.name, caller, answer })
    }
    matrix[listing.name] = row
  }
  return matrix
}

function isInjecting(caller: InjectOptions['headers'] | Injecting): caller is Injecting {
  return typeof caller?.inject === 'function'
}

function assertSame(operations: readonly Listing[], requests: Readonly<Record<string, object>>) {
  const names = operations.map(({ name }) => name)
  const missing = names.find((name) => !Object.hasOwn(requests, name))
  if (missing !== undefined)
    throw errors.RESOURCE_UNKNOWN(missing, 'requests has none for it: add one')
  const unknown = Object.keys(requests).find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw errors.RESOURCE_UNKNOWN(unknown, `requests has one for it; there are ${names.join(', ')}`)
}

/** What a client would send for it. */
function requestOf({ path, entry }: Listing, input: object): InjectOptions {
  const { method = 'GET', query = [] } = entry.resource.definition
  const asked: readonly string[] = query
  const hasBody = method !== 'GET' && method !== 'DELETE'
  if (Array.isArray(input)) return { method, url: path, payload: input }
  const rest: Record<string, unknown> = { ...input }
  const url = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = String(rest[name])
    delete rest[name]
    return encodeURIComponent(value)
  })
  const pick = (inBody: boolean) =>
    Object.entries(rest).filter(([name]) => (hasBody && !asked.includes(name)) === inBody)
  return {
    method,
    url,
    query: Object.fromEntries(pick(false).map(([name, value]) => [name, String(value)])),
    ...(hasBody && { payload: Object.fromEntries(pick(true)) }),
  }
}
