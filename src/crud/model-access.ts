import type { Model } from '../database/model/model.ts'
import { errors } from '../errors.ts'
import type { AccessSettings, Auth, Permission } from '../resource/access.ts'
import type { RowScope } from '../resource/contract.ts'
import type { Narrow } from './scope.ts'

const ACTIONS = ['list', 'retrieve', 'create', 'createMany', 'replace', 'update', 'remove'] as const

/** The names of the resources of a model. */
export type ModelAction = (typeof ACTIONS)[number]

type Permissions = Permission | readonly Permission[]

/** Who may do what with which rows. */
export interface ModelAccess<M extends Model> {
  /**
   * Which rows a caller has, of all of these resources: the others are 404, and one that would not be the caller's when it is written is 403.
   * `({ user }, query) => query.where('customer', '=', user.id)`, or what `defineScope` has made. Default: all.
   */
  scope?: Narrow<M>
  /**
   * Who may call them, all or each: `{ list: 'public' }`. What is said of `create` is said of `createMany`, and of `update` and
   * `replace` of the other, unless that says its own. Default: as the module says.
   */
  auth?: Auth | Readonly<Partial<Record<ModelAction, Auth>>>
  /** What has to be true besides, in the same way: `{ remove: isAdmin }`. */
  permissions?: Permissions | Readonly<Partial<Record<ModelAction, Permissions>>>
}

const ALIKE: Readonly<Partial<Record<ModelAction, ModelAction>>> = {
  create: 'createMany',
  createMany: 'create',
  replace: 'update',
  update: 'replace',
}

/** Who may do each, with which rows. */
export type ActionSettings = Readonly<
  Record<ModelAction, AccessSettings & { readonly scope?: RowScope }>
>

/** @throws {PlinthError} RESOURCE_INVALID where something is said of what is no action: a word that nobody reads protects nothing */
export function settingsByAction(
  table: string,
  { auth, permissions }: Pick<ModelAccess<Model>, 'auth' | 'permissions'>,
  scope: RowScope | undefined,
): ActionSettings {
  const authOf = byAction(table, auth, (given) => typeof given === 'string')
  const permissionsOf = byAction(table, permissions, isPermissions)
  const settings = ACTIONS.map((action) => {
    const [auth, permissions] = [authOf(action), permissionsOf(action)]
    const access = { ...(auth && { auth }), ...(permissions && { permissions }) }
    return [action, { ...access, ...(scope && { scope }) }]
  })
  return Object.fromEntries(settings) as ActionSettings
}

function isPermissions(given: unknown): given is Permissions {
  return Array.isArray(given) || typeof (given as Permission).allows === 'function'
}

function byAction<T>(
  table: string,
  given: T | Readonly<Partial<Record<ModelAction, T>>> | undefined,
  isForAll: (given: unknown) => boolean,
): (action: ModelAction) => T | undefined {
  if (given === undefined || isForAll(given)) return () => given as T | undefined
  const each = given as Readonly<Partial<Record<ModelAction, T>>>
  const unknown = Object.keys(each).find((name) => !ACTIONS.includes(name as ModelAction))
  if (unknown !== undefined)
    throw errors.RESOURCE_INVALID(
      `of ${table}`,
      `it is said who may ${unknown}, and there is none of that name; there are ${ACTIONS.join(', ')}`,
    )
  return (action) => each[action] ?? (ALIKE[action] && each[ALIKE[action]])
}
