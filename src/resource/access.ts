import { errors, type PlinthError } from '../errors.ts'
import type { Context, User } from './context.ts'

/**
 * Who may call: `public`: everybody, and nobody is asked who it is; `optional`: everybody, with its user where it has
 * credentials; `required`: users alone.
 */
export type Auth = 'public' | 'optional' | 'required'

/** Of what a permission decides. */
export interface Asked<Input = unknown> {
  readonly user: User | undefined
  /** The request of the resource, valid; `undefined` for a route that serves none. */
  readonly input: Input
  readonly context: Context
}

/** One thing that has to be true of a call before it is made. */
// biome-ignore lint/suspicious/noExplicitAny: one that takes a certain input has to fit, and that is an input of this
export interface Permission<Input = any> {
  /** Where it is listed, and told to whoever it refuses: `isStaff`. */
  readonly name: string
  /** Told to whoever it refuses. */
  readonly reason: string
  /** What it is refused with: FORBIDDEN, or NOT_FOUND where nobody is to know what there is. */
  readonly denied: 403 | 404
  /** Of one with 404: what is said then, which had better be what is said where there is nothing. */
  missing?(asked: Asked<Input>): PlinthError
  allows(asked: Asked<Input>): boolean | Promise<boolean>
}

/** What a resource, a module or a route says of who may call it. */
export interface AccessSettings {
  /** Default: `required` where there are `permissions`, else as the module says. `public` leaves out what the module says. */
  readonly auth?: Auth
  /** What has to be true besides, all of it, and what the modules around it say, too. */
  readonly permissions?: Permission | readonly Permission[]
}

/** What has been decided of who may call. */
export interface Access {
  readonly auth: Auth
  readonly permissions: readonly Permission[]
}

/** Which of the kit's own a route is. */
export type KitRoute =
  | 'admin'
  | 'contract'
  | 'developer'
  | 'docs'
  | 'health'
  | 'metrics'
  | 'queues'
  | 'tasks'

/** Who may see the kit's own: the API document with its page, the contract, the metrics, the page of the queues, tasks by their ids. */
export type KitAccess = Readonly<
  Partial<Record<Exclude<KitRoute, 'admin' | 'developer' | 'health'>, AccessSettings>>
>

declare module 'fastify' {
  interface FastifyContextConfig extends AccessSettings {
    /** That decides who may, where nothing else does. */
    kit?: KitRoute
    /** What is decided of the route. */
    access?: Access
  }
}

export const PUBLIC: Access = { auth: 'public', permissions: [] }

/**
 * What is decided of something within `outer`, `undefined`: nothing.
 *
 * @param name for errors
 * @throws {PlinthError} RESOURCE_INVALID where it contradicts itself
 */
export function accessWithin(
  outer: Access | undefined,
  { auth, permissions = [] }: AccessSettings,
  name: string,
): Access | undefined {
  const own = [permissions].flat() as readonly Permission[]
  if (auth !== undefined && !['public', 'optional', 'required'].includes(auth))
    throw errors.RESOURCE_INVALID(
      name,
      `its auth is ${auth}; expected public, optional or required`,
    )
  const wrong = own.find((one) => typeof one?.allows !== 'function')
  if (own.length > 0 && wrong !== undefined)
    throw errors.RESOURCE_INVALID(name, 'a permission of it is none by definePermission')
  if (auth === 'public' && own.length > 0)
    throw errors.RESOURCE_INVALID(
      name,
      'it is public and has permissions, which nobody would be asked',
    )
  if (auth === 'public') return PUBLIC
  if (auth === undefined && own.length === 0) return outer
  const around = outer?.permissions ?? []
  return { auth: auth ?? strictest(outer), permissions: [...around, ...own] }
}

/** Permissions that say nothing else want a user, unless what is around them is for everybody already. */
function strictest(outer: Access | undefined): Auth {
  return outer?.auth === 'optional' ? 'optional' : 'required'
}
