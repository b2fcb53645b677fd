import type { Kysely } from 'kysely'
import { errors, type PlinthError } from '../errors.ts'
import type { Asked, Permission } from '../resource/access.ts'

/** What `definePermission` takes. */
export interface PermissionOptions<Input> {
  /** Where it is listed, and told to whoever it refuses. */
  name: string
  /** Told to whoever it refuses: `only staff may do this`. */
  reason: string
  /** 404 where nobody is to know what there is; default 403. */
  denied?: 403 | 404
  /** What is said with 404: `({ input }) => errors.NOT_FOUND('ticket', input.id)`; default: that there is no such thing. */
  missing?(asked: Asked<Input>): PlinthError
  /** Whether the call may be made: true or false, else the call fails. What it throws is the answer. */
  allows(asked: Asked<Input>): boolean | Promise<boolean>
}

/**
 * Defines a permission: `definePermission({ name: 'isStaff', reason: '…', allows: ({ user }) => user?.staff === true })`. It is
 * asked for each call, whichever way it comes, before the cache answers.
 */
// biome-ignore lint/suspicious/noExplicitAny: as in Permission
export function definePermission<Input = any>(
  options: PermissionOptions<Input>,
): Permission<Input> {
  return { denied: 403, ...options }
}

/** All of `permissions`, asked in their order until one says no. */
export function and(...permissions: readonly Permission[]): Permission {
  return {
    ...joined(permissions, ' and '),
    allows: (asked) => after(firstThat(false, permissions, asked), isNone),
  }
}

/** Any of `permissions`, asked in their order until one says yes. */
export function or(...permissions: readonly Permission[]): Permission {
  return {
    ...joined(permissions, ' or '),
    allows: (asked) => after(firstThat(true, permissions, asked), isSome),
  }
}

/** What `permission` refuses, and nothing else. @param reason default: that it is not for those */
export function not(permission: Permission, reason = `not where ${permission.name}`): Permission {
  const name = `not ${bracketed(permission.name)}`
  const only = [permission]
  const allows = (asked: Asked) => after(firstThat(true, only, asked), isNone)
  return { name, reason, denied: 403, allows }
}

/** It refuses with 404 where one of them would. */
function joined(permissions: readonly Permission[], word: string): Omit<Permission, 'allows'> {
  const missing = permissions.find(({ denied }) => denied === 404)
  return {
    ...(missing ?? { denied: 403 }),
    name: permissions.map(({ name }) => bracketed(name)).join(word),
    reason: permissions.map(({ reason }) => reason).join(word),
  }
}

function bracketed(name: string): string {
  return name.includes(' ') ? `(${name})` : name
}

/**
 * Credentials that have the scope, or that are not limited by scopes: `hasScope('tickets:write')`. A task has none: what its
 * user may do decides there.
 */
export function hasScope(scope: string): Permission {
  return {
    name: `hasScope(${scope})`,
    reason: `the credentials need the scope ${scope}`,
    denied: 403,
    allows: ({ context }) => context.request?.auth?.scopes?.includes(scope) ?? true,
  }
}

/** Lets superusers pass: those of plinth/plugins/users, and those that SUPERUSERS names. */
export const isSuperuser = definePermission({
  name: 'isSuperuser',
  reason: 'only superusers may do this',
  allows: ({ user }) => user?.superuser === true,
})

/** What `ownerOf` takes: which column has the owner of which row. */
export interface OwnerOptions {
  /** The column that has the id of the owner; default `created_by`, as `audit: true` fills it in. */
  column?: string
  /** The column and the property of the request that say which row it is; default `id`. */
  key?: string
  /** Default 404: others are not to know that there is such a row. */
  denied?: 403 | 404
}

/** The owner of the row that a request is about: `ownerOf('ticket')`, or of a model. Refused where there is no such row. */
export function ownerOf(
  of: string | { readonly table: string },
  { column = 'created_by', key = 'id', denied = 404 }: OwnerOptions = {},
): Permission {
  const table = typeof of === 'string' ? of : of.table
  return {
    name: `ownerOf(${table})`,
    reason: `only who owns the ${table} may do this`,
    denied,
    // As the resources of a model say it of a row that is not there.
    missing: ({ input }) => errors.NOT_FOUND(table.replaceAll('_', ' '), input?.[key]),
    async allows({ user, input, context }) {
      const wanted = (input as Record<string, unknown> | undefined)?.[key]
      if (user === undefined || wanted === undefined) return false
      const db = context.db as unknown as Kysely<Record<string, Record<string, unknown>>>
      const row = await db
        .selectFrom(table)
        .select(column)
        .where(key, '=', wanted)
        .executeTakeFirst()
      return row?.[column] === user.id
    },
  }
}

/** The first of `permissions` whose answer is `answer`; a promise only where one of those that are asked makes one. */
export function firstThat(
  answer: boolean,
  permissions: readonly Permission[],
  asked: Asked,
  from = 0,
): Permission | undefined | Promise<Permission | undefined> {
  for (let index = from; index < permissions.length; index++) {
    const permission = permissions[index] as Permission
    const found = permission.allows(asked)
    if (found instanceof Promise)
      return found.then((found) =>
        said(permission, found) === answer
          ? permission
          : firstThat(answer, permissions, asked, index + 1),
      )
    if (said(permission, found) === answer) return permission
  }
  return undefined
}

/** Anything but true or false is a mistake, which must not open what `not` turns round. */
function said({ name }: Permission, found: unknown): boolean {
  if (typeof found === 'boolean') return found
  throw new TypeError(`the permission ${name} said ${String(found)}; expected true or false`)
}

const isNone = (found: Permission | undefined): boolean => found === undefined
const isSome = (found: Permission | undefined): boolean => found !== undefined

function after<T, R>(value: T | Promise<T>, then: (value: T) => R): R | Promise<R> {
  return value instanceof Promise ? value.then(then) : then(value)
}
