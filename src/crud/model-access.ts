import type { Model } from '../database/model/types.ts'
import { errors } from '../errors.ts'
import type { AccessSettings, Auth, Permission } from '../resource/access.ts'
import type { RowScope } from '../resource/contract.ts'
import type { RateLimit, RateLimitSettings } from '../resource/rate-limit.ts'
import type { Narrow } from './scope.ts'

const ACTIONS = [
  'list',
  'export',
  'retrieve',
  'create',
  'createMany',
  'replace',
  'update',
  'remove',
] as const

/** The names of the resources of a model. */
export type ModelAction = (typeof ACTIONS)[number]

type Permissions = Permission | readonly Permission[]
type RateLimits = NonNullable<RateLimitSettings['rateLimits']>

/** Who may do what with which rows, and how often. */
export interface ModelAccess<M extends Model> {
  /**
   * Which rows a caller has, of all of these resources: the others are 404, and one that would not be the caller's when it is written is 403.
   * `({ user }, query) => query.where('customer', '=', user.id)`, or what `defineScope` has made. Default: all.
   */
  scope?: Narrow<M>
  /**
   * Who may call them, all or each: `{ list: 'public' }`. What is said of `list` is said of `export`, of `create` of `createMany`, and of `update`
   * and `replace` of the other, unless that says its own. Default: as the module says.
   */
  auth?: Auth | Readonly<Partial<Record<ModelAction, Auth>>>
  /** What has to be true besides, in the same way: `{ remove: isAdmin }`. */
  permissions?: Permissions | Readonly<Partial<Record<ModelAction, Permissions>>>
  /**
   * How often each may be asked for, in the same way: `{ create: { max: 10, duration: 60_000 } }`. Each counts by itself, also where one
   * limit is said of all. Default: as often as the module says.
   */
  rateLimits?: RateLimits | Readonly<Partial<Record<ModelAction, RateLimits>>>
}

const ALIKE: Readonly<Partial<Record<ModelAction, ModelAction>>> = {
  export: 'list',
  create: 'createMany',
  createMany: 'create',
  replace: 'update',
  update: 'replace',
}

/** Who may do each, with which rows, and how often. */
export type ActionSettings = Readonly<
  Record<ModelAction, AccessSettings & RateLimitSettings & { readonly scope?: RowScope }>
>

/** @throws {PlinthError} RESOURCE_INVALID where something is said of what is no action: a word that nobody reads protects nothing */
export function settingsByAction(
  table: string,
  { auth, permissions, rateLimits }: Omit<ModelAccess<Model>, 'scope'>,
  scope: RowScope | undefined,
): ActionSettings {
  const authOf = byAction(table, 'who may', auth, (given) => typeof given === 'string')
  const permissionsOf = byAction(table, 'who may', permissions, isPermissions)
  const limitsOf = byAction(table, 'how often one may', rateLimits, isRateLimits)
  const settings = ACTIONS.map((action) => {
    const [auth, permissions, limits] = [authOf(action), permissionsOf(action), limitsOf(action)]
    const access = { ...(auth && { auth }), ...(permissions && { permissions }) }
    const limited = limits === undefined ? {} : { rateLimits: limits }
    return [action, { ...access, ...limited, ...(scope && { scope }) }]
  })
  return Object.fromEntries(settings) as ActionSettings
}

function isPermissions(given: unknown): given is Permissions {
  return Array.isArray(given) || typeof (given as Permission).allows === 'function'
}

/** Whether it is one for all of them: no action is called as anything of a limit. */
function isRateLimits(given: unknown): given is RateLimits {
  const words = ['by', 'max', 'duration', 'name'] satisfies (keyof RateLimit)[]
  return given === false || Array.isArray(given) || words.some((word) => word in (given as object))
}

/** @param what is said of each, for errors */
function byAction<T>(
  table: string,
  what: string,
  given: T | Readonly<Partial<Record<ModelAction, T>>> | undefined,
  isForAll: (given: unknown) => boolean,
): (action: ModelAction) => T | undefined {
  if (given === undefined || isForAll(given)) return () => given as T | undefined
  const each = given as Readonly<Partial<Record<ModelAction, T>>>
  const unknown = Object.keys(each).find((name) => !ACTIONS.includes(name as ModelAction))
  if (unknown !== undefined)
    throw errors.RESOURCE_INVALID(
      `of ${table}`,
      `it is said ${what} ${unknown}, and there is none of that name; there are ${ACTIONS.join(', ')}`,
    )
  return (action) => each[action] ?? (ALIKE[action] && each[ALIKE[action]])
}
