import { hash, randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import { assertUser, type User } from '../resource/context.ts'
import type { Strategy } from './authenticator.ts'
import { assertOwnPage, isPage } from './browser.ts'
import { withinRequest } from './download.ts'
import type { SessionStore } from './session-store.ts'
import { type CookieRules, SignedCookie } from './signed-cookie.ts'
import type { BoundUser } from './users.ts'

/** Who it is that has logged in as `user`, now; undefined or null: nobody any more. */
export type UserOfSession = (
  user: User,
) => User | null | undefined | Promise<User | null | undefined>

export interface SessionSettings extends CookieRules {
  readonly store: SessionStore
  /** The name of the cookie. */
  readonly cookie: string
  /** Milliseconds without a request after which it ends. */
  readonly idle: number
  /** Milliseconds after which it ends in any case. */
  readonly lifetime: number
  /** Pages that may make changes, beside the app's own. */
  readonly origins: ReadonlySet<string>
  /** The page where a person logs in. */
  readonly page: string | undefined
  readonly toUser: UserOfSession
  /** Who it is at each request, and by which password; undefined: who has logged in, whatever becomes of it. */
  readonly load: ((id: string) => Promise<BoundUser | undefined>) | undefined
}

interface Kept {
  readonly user: User
  /** When it ends in any case, as `Date.now()` counts. */
  readonly until: number
  /** Where users are looked up: of the password that it began with. */
  readonly password?: string
}

/**
 * Sessions of browsers. The cookie has a random id and its signature, the store has the user by the digest of that id: who reads
 * the one or makes up the other has no session. A session is written at login and never again, so none that has ended comes back.
 */
export class Sessions {
  /** The page where a person logs in. */
  page: string | undefined
  readonly #settings: SessionSettings
  readonly #cookie: SignedCookie

  constructor(settings: SessionSettings) {
    this.#settings = settings
    this.page = settings.page
    this.#cookie = new SignedCookie(settings.cookie, 'plinth session', settings)
  }

  /** Another cookie of the same kind. */
  cookie(name: string, purpose: string): SignedCookie {
    return new SignedCookie(
      this.#settings.secure ? `__Host-${name}` : name,
      purpose,
      this.#settings,
    )
  }

  /** Whose session it is that the request has. @throws {PlinthError} AUTH_UNAVAILABLE */
  async find(request: FastifyRequest): Promise<User | undefined> {
    const id = this.#cookie.read(request)
    if (id === undefined) return undefined
    const { store, idle, load } = this.#settings
    const { user, until, password } = readKept(await available(store.read(keyOf(id), idle)))
    if (!user || until <= Date.now()) return undefined
    if (!load) return user
    const found = await available(load(user.id))
    return found?.password === password ? found?.user : undefined
  }

  /**
   * Begins a session under a new id, and ends the one that the request has.
   *
   * @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE, USER_INVALID; UNAUTHENTICATED where users are looked up, and it is none
   */
  async begin(
    request: FastifyRequest,
    reply: FastifyReply,
    user: User,
    { groups = [], note }: SessionBegin = {},
  ): Promise<void> {
    const { store, idle, lifetime, origins, load } = this.#settings
    assertOwnPage(request, origins)
    const found = await (load ? available(load(assertUser(user).id)) : { user: assertUser(user) })
    if (!found) throw errors.UNAUTHENTICATED()
    const kept: Kept = { ...found, until: Date.now() + lifetime }
    const id = randomBytes(32).toString('base64url')
    const within = { names: groups.map(keyOf), ttl: lifetime }
    // Apart from what each request reads.
    if (note !== undefined) await available(store.add(noteOf(id), note, lifetime, within))
    await available(store.add(keyOf(id), JSON.stringify(kept), idle, within))
    await this.#drop(request)
    this.#cookie.write(reply, id, Math.floor(lifetime / 1000))
  }

  /** Ends the session that the request has. @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE: then it has not ended */
  async end(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    assertOwnPage(request, this.#settings.origins)
    await this.#drop(request)
    this.#cookie.clear(reply)
  }

  /** What was noted when the session of the request has begun, once. @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE */
  async takeNote(request: FastifyRequest): Promise<string | undefined> {
    assertOwnPage(request, this.#settings.origins)
    const id = this.#cookie.read(request)
    if (id === undefined) return undefined
    const { store, idle } = this.#settings
    const note = await available(store.read(noteOf(id), idle))
    if (note !== undefined) await available(store.delete(noteOf(id)))
    return note
  }

  /** Ends all sessions that have begun within a group of that name. @throws {PlinthError} AUTH_UNAVAILABLE: then they have not ended */
  async endGroup(name: string): Promise<void> {
    await available(this.#settings.store.deleteGroup(keyOf(name)))
  }

  async #drop(request: FastifyRequest): Promise<void> {
    const id = this.#cookie.read(request)
    if (id !== undefined) await available(this.#settings.store.delete(keyOf(id)))
  }
}

/** What there is about a session beside its user. */
export interface SessionBegin {
  /** With which it ends (`endGroup`), by names. */
  groups?: readonly string[]
  /** For who ends it (`takeNote`). */
  note?: string | undefined
}

/** The strategy of sessions. A browser sends an old cookie along unasked: one of a session that has ended is as none. */
export function createSession(
  name: string,
  sessions: Sessions,
  { cookie, origins, toUser }: SessionSettings,
): Strategy {
  return {
    name,
    scheme: { type: 'apiKey', in: 'cookie', name: cookie },
    login: (request) => sessions.page && withNext(sessions.page, request),
    async authenticate(request) {
      const found = await sessions.find(request)
      const user = found && (await toUser(found))
      if (!user) return undefined
      assertOwnPage(request, origins)
      return { user }
    },
  }
}

/** Tells the page where to go from there: to a path, which is no `//other.example`. */
function withNext(page: string, request: FastifyRequest): string {
  const { originalUrl } = request
  if (!isPage(request) || /^\/[/\\]/.test(originalUrl)) return page
  return `${page}?next=${encodeURIComponent(originalUrl)}`
}

/** Of what names a session or a group: no store has the name. */
function keyOf(id: string): string {
  return hash('sha256', id, 'base64url')
}

const noteOf = (id: string): string => keyOf(`note of ${id}`)

function readKept(text = '{}'): Partial<Kept> & { until: number } {
  try {
    const { user, until = 0, password } = JSON.parse(text) as Partial<Kept>
    return { until, ...(user && { user }), ...(password && { password }) }
  } catch (cause) {
    throw unavailable(cause as Error)
  }
}

/** What the store says, in the time of the request. */
async function available<T>(promise: Promise<T>): Promise<T> {
  try {
    return await withinRequest(promise, unavailable)
  } catch (error) {
    throw unavailable(error as Error)
  }
}

function unavailable(cause: Error): Error {
  return errors.AUTH_UNAVAILABLE.with({ cause }, 'the sessions cannot be read')
}
