import { errors, PlinthError } from '../errors.ts'
import { assertUser, type Context, type LoadUser, runInContext, type User } from './context.ts'

/**
 * Makes what is done in `context`, which came by no request, be done for the user with that id, whom the service's `loadUser` finds.
 *
 * @throws {PlinthError} USER_UNKNOWN, USER_UNAVAILABLE, USER_INVALID
 */
export async function actForUser(
  context: Context,
  id: string,
  loadUser: LoadUser | undefined,
): Promise<void> {
  context.user = await runInContext(context, findUser, id, { context, loadUser })
}

/** Whole, or not at all: half a user may be allowed more. */
async function findUser(
  id: string,
  { context, loadUser }: { context: Context; loadUser: LoadUser | undefined },
): Promise<User> {
  if (!loadUser) throw errors.USER_UNKNOWN(id, 'this service has no loadUser')
  let user: User | null | undefined
  try {
    user = await loadUser(id, context)
  } catch (cause) {
    throw PlinthError.is(cause) ? cause : errors.USER_UNAVAILABLE.with({ cause })
  }
  if (!user) throw errors.USER_UNKNOWN(id, 'loadUser knows none')
  if (assertUser(user).id !== id) throw errors.USER_UNKNOWN(id, 'loadUser gave another one')
  return user
}
