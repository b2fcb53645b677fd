import { errors, type PlinthError } from '../errors.ts'
import { type Access, type Asked, type Permission, PUBLIC } from '../resource/access.ts'
import type { Context } from '../resource/context.ts'
import type { Call } from '../resource/steps.ts'
import { firstThat } from './permission.ts'

/**
 * Lets a call pass that may be made, by what is decided of its resource and by its user. Those of the service itself may.
 *
 * @returns a promise only where a permission makes one
 * @throws {PlinthError} UNAUTHENTICATED where it needs a user, FORBIDDEN or NOT_FOUND where a permission refuses it
 */
export function authorizeCall({
  context,
  resource,
  access,
  input,
}: Call): Promise<void> | undefined {
  if (context.isSystem) return undefined
  const decided = access ?? context.app.registry.of(resource).access ?? PUBLIC
  return authorizeAccess(decided, { user: context.user, input, context })
}

/** The same for what is no resource. */
export function authorizeAccess(
  { auth, permissions }: Access,
  asked: Asked,
): Promise<void> | undefined {
  if (auth === 'public') return undefined
  if (auth === 'required' && asked.user === undefined) throw unauthenticated(asked.context)
  if (permissions.length === 0) return undefined
  const refusing = firstThat(false, permissions, asked)
  if (refusing instanceof Promise) return refusing.then((refusing) => refuse(refusing, asked))
  refuse(refusing, asked)
  return undefined
}

function refuse(permission: Permission | undefined, asked: Asked): void {
  if (!permission) return
  const { name, reason, denied, missing } = permission
  const why = { errors: [{ path: '', message: `${name}: ${reason}` }] }
  // Who has not said who it is may be one who may.
  if (asked.user === undefined) throw unauthenticated(asked.context, why)
  if (denied === 403) throw errors.FORBIDDEN.with(why)
  throw missing?.(asked) ?? errors.NOT_FOUND('such', 'thing')
}

function unauthenticated({ app, reply }: Context, why = {}): PlinthError {
  if (reply) app.auth?.challenge(reply)
  return errors.UNAUTHENTICATED.with(why)
}
