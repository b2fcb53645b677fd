import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import { assertUser, type User } from '../resource/context.ts'
import type { Strategy } from './authenticator.ts'
import { assertOwnPage, isPage, readCookie } from './browser.ts'
import { withinRequest } from './download.ts'
import type { SessionStore } from './session-store.ts'

/** Who it is that has logged in as `user`, now; undefined or null: nobody any more. */
export type UserOfSession = (
  user: User,
) => User | null | undefined | Promise<User | null | undefined>

export interface SessionSettings {
  readonly store: SessionStore
  /** The first signs, all are known. */
  readonly secrets: readonly string[]
  /** Its name, and what else it says. */
  readonly cookie: { readonly name: string; readonly attributes: string }
  /** Milliseconds without a request after which it ends. */
  readonly idle: number
  /** Milliseconds after which it ends in any case. */
  readonly lifetime: number
  /** Pages that may make changes, beside the app's own. */
  readonly origins: ReadonlySet<string>
  /** The page where a person logs in. */
  readonly page: string | undefined
  readonly toUser: UserOfSession
}

interface Kept {
  readonly user: User
  /** When it ends in any case, as `Date.now()` counts. */
  readonly until: number
}

/**
 * Sessions of browsers. The cookie has a random id and its signature, the store has the user by the digest of that id: who reads
 * the one or makes up the other has no session. A session is written at login and never again, so none that has ended comes back.
 */
export class Sessions {
  readonly #settings: SessionSettings

  constructor(settings: SessionSettings) {
    this.#settings = settings
  }

  /** Whose session it is that the request has. @throws {PlinthError} AUTH_UNAVAILABLE */
  async find(request: FastifyRequest): Promise<User | undefined> {
    const id = this.#idOf(request)
    if (id === undefined) return undefined
    const { store, idle } = this.#settings
    const text = await available(store.read(keyOf(id), idle))
    const { user, until } = readKept(text)
    return user && until > Date.now() ? user : undefined
  }

  /**
   * Begins a session under a new id, and ends the one that the request has.
   *
   * @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE, USER_INVALID
   */
  async begin(request: FastifyRequest, reply: FastifyReply, user: User): Promise<void> {
    const { store, idle, lifetime, origins } = this.#settings
    assertOwnPage(request, origins)
    const kept: Kept = { user: assertUser(user), until: Date.now() + lifetime }
    const id = randomBytes(32).toString('base64url')
    await available(store.add(keyOf(id), JSON.stringify(kept), idle))
    await this.#drop(request)
    this.#setCookie(reply, this.#sign(id), Math.floor(lifetime / 1000))
  }

  /** Ends the session that the request has. @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE: then it has not ended */
  async end(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    assertOwnPage(request, this.#settings.origins)
    await this.#drop(request)
    this.#setCookie(reply, '', 0)
  }

  async #drop(request: FastifyRequest): Promise<void> {
    const id = this.#idOf(request)
    if (id !== undefined) await available(this.#settings.store.delete(keyOf(id)))
  }

  #setCookie(reply: FastifyReply, value: string, maxAge: number): void {
    const { name, attributes } = this.#settings.cookie
    reply.header('set-cookie', `${name}=${value}; Max-Age=${maxAge}; ${attributes}`)
  }

  #sign(id: string): string {
    const [secret = ''] = this.#settings.secrets
    return `${id}.${signatureOf(id, secret)}`
  }

  /** The id in the cookie, where one of the secrets has signed it. */
  #idOf(request: FastifyRequest): string | undefined {
    const { cookie, secrets } = this.#settings
    const [id = '', signature, ...more] = readCookie(request, cookie.name)?.split('.') ?? []
    if (signature === undefined || more.length > 0) return undefined
    const given = Buffer.from(signature)
    const isSigned = secrets.some((secret) => {
      const own = Buffer.from(signatureOf(id, secret))
      return own.length === given.length && timingSafeEqual(own, given)
    })
    return isSigned ? id : undefined
  }
}

/** The strategy of sessions. A browser sends an old cookie along unasked: one of a session that has ended is as none. */
export function createSession(
  name: string,
  sessions: Sessions,
  { cookie, origins, page, toUser }: SessionSettings,
): Strategy {
  return {
    name,
    scheme: { type: 'apiKey', in: 'cookie', name: cookie.name },
    login: (request) => page && withNext(page, request),
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

/** For this purpose alone, whatever else is signed with the secret. */
function signatureOf(id: string, secret: string): string {
  return createHmac('sha256', secret).update(`plinth session ${id}`).digest('base64url')
}

function keyOf(id: string): string {
  return hash('sha256', id, 'base64url')
}

function readKept(text: string | undefined): Partial<Kept> & { until: number } {
  try {
    const { user, until } = JSON.parse(text ?? '{}') as Partial<Kept>
    return { ...(user && { user }), until: until ?? 0 }
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
