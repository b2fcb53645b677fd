import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import type { Access } from '../resource/access.ts'
import { ranked, type User, userOf } from '../resource/context.ts'
import type { Security, SecurityScheme } from '../resource/security.ts'
import { isPage } from './browser.ts'

/** Who makes a request, as a strategy has found it out. */
export interface Authenticated {
  /** Its `id` is what everything depends on. A system that calls is a user, too: `app:billing`. */
  readonly user: User
  /** The code of the system that calls, verified. */
  readonly app?: string
  /** Names the token, and is never the secret itself. */
  readonly token?: string
  /** What the credentials are limited to; default: to nothing, they are good for all that the user may do. */
  readonly scopes?: readonly string[]
}

/** One way to find out who makes a request. */
export interface Strategy {
  /** Unique in an app: what the API document calls it, and `request.auth.strategy`. */
  readonly name: string
  /** How the API document describes it. */
  readonly scheme: SecurityScheme
  /** For the header `WWW-Authenticate` of a 401: `Bearer` (RFC 9110, 11.6.1). */
  readonly challenge?: string
  /** The page where a person logs in and comes back from: a page is sent there, and other clients are told of it. */
  login?(request: FastifyRequest): string | undefined
  /**
   * Asked only for requests that want a user.
   *
   * @returns `undefined` where the request has no credentials of this kind: the next strategy is asked
   * @throws {PlinthError} UNAUTHENTICATED where it has some and they are wrong: no other strategy is asked then;
   *   AUTH_UNAVAILABLE where they cannot be checked now
   */
  authenticate(
    request: FastifyRequest,
    reply: FastifyReply,
  ): Authenticated | undefined | Promise<Authenticated | undefined>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Finds out who makes a request, by the strategies of this app in their order. */
    auth: Authenticator
  }
  interface FastifyRequest {
    /** How its user was found out; null where that was not asked or there is none. */
    auth: (Authenticated & { readonly strategy: string }) | null
  }
}

/** Lets a request pass, throws, or has answered it; a promise only where something has to be waited for. */
export type Admit = (request: FastifyRequest, reply: FastifyReply) => Promise<void> | undefined

/** The strategies of an app, and the hooks that ask them: `app.get('/me', { onRequest: app.auth.required }, …)`. */
export class Authenticator {
  readonly strategies: Strategy[] = []

  /** A hook: only requests with a user go on, which is `request.user` then. @throws {PlinthError} UNAUTHENTICATED */
  readonly required: onRequestHookHandler = (request, reply, done) => {
    goOn(this.demand, request, reply, done)
  }

  /** A hook: requests without credentials go on without a user. @throws {PlinthError} where they have wrong ones */
  readonly optional: onRequestHookHandler = (request, reply, done) => {
    // Tests have another one.
    goOn(this.find, request, reply, done)
  }

  /** Asks the strategies; a promise only where one of them makes one. @throws {PlinthError} as `optional` */
  find: Admit = (request, reply) => this.#findFrom(0, request, reply)

  /** The same, and where there is no user then the request ends, or is sent to log in. @throws {PlinthError} UNAUTHENTICATED */
  readonly demand: Admit = (request, reply) => {
    const found = this.find(request, reply)
    if (found) return found.then(() => this.#assertUser(request, reply))
    this.#assertUser(request, reply)
    return undefined
  }

  #findFrom(from: number, request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
    for (let index = from; index < this.strategies.length; index++) {
      const strategy = this.strategies[index] as Strategy
      const found = ask(strategy, request, reply)
      if (found instanceof Promise)
        return found.then(
          (found) =>
            found ? settle(request, strategy, found) : this.#findFrom(index + 1, request, reply),
          (error) => fail(strategy, reply, error),
        )
      if (found) return void settle(request, strategy, found)
    }
    return undefined
  }

  #assertUser(request: FastifyRequest, reply: FastifyReply): void {
    if (userOf(request.server, request)) return
    const login = this.#loginOf(request)
    if (login !== undefined && isPage(request)) {
      reply.redirect(login)
      return
    }
    this.challenge(reply)
    throw errors.UNAUTHENTICATED.with(login === undefined ? {} : { data: { login_url: login } })
  }

  /** Says how to authenticate (RFC 9110, 11.6.1), where nothing has said it. */
  challenge(reply: FastifyReply): void {
    if (reply.hasHeader('www-authenticate')) return
    const challenges = [...new Set(this.strategies.flatMap(({ challenge }) => challenge ?? []))]
    if (challenges.length > 0) reply.header('www-authenticate', challenges.join(', '))
  }

  /** How the API document describes its strategies, by name. */
  get schemes(): Readonly<Record<string, SecurityScheme>> {
    return Object.fromEntries(this.strategies.map(({ name, scheme }) => [name, scheme]))
  }

  /** What the API document says of something of which that is decided: any strategy will do. */
  security({ auth }: Access): Security {
    if (auth === 'public') return []
    const any = this.strategies.map(({ name }) => ({ [name]: [] }))
    return auth === 'optional' ? [...any, {}] : any
  }

  #loginOf(request: FastifyRequest): string | undefined {
    for (const strategy of this.strategies) {
      const login = strategy.login?.(request)
      if (login !== undefined) return login
    }
    return undefined
  }
}

function ask(strategy: Strategy, request: FastifyRequest, reply: FastifyReply) {
  try {
    return strategy.authenticate(request, reply)
  } catch (error) {
    return fail(strategy, reply, error)
  }
}

/** Says how it wants to be asked, where it has not said it itself. @throws `error` */
function fail({ challenge }: Strategy, reply: FastifyReply, error: unknown): never {
  const isRefused = PlinthError.is(error) && error.statusCode === 401
  if (isRefused && challenge !== undefined && !reply.hasHeader('www-authenticate'))
    reply.header('www-authenticate', challenge)
  throw error
}

function settle(request: FastifyRequest, { name }: Strategy, found: Authenticated): void {
  const user = ranked(request.server, found.user)
  ;(request as { user?: User | null }).user = user
  request.auth = { ...found, user, strategy: name }
}

/** Goes on with a request after `admit`, unless that has answered it. */
export function goOn(
  admit: Admit,
  request: FastifyRequest,
  reply: FastifyReply,
  done: (error?: Error) => void,
): void {
  let admitting: Promise<void> | undefined
  try {
    admitting = admit(request, reply)
  } catch (error) {
    done(error as Error)
    return
  }
  if (admitting) admitting.then(() => reply.sent || done(), done)
  else if (!reply.sent) done()
}

/**
 * Has an app ask one more strategy, behind those that it has: `app.auth` is there then.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID where it has one of that name
 */
export function addStrategy(app: FastifyInstance, strategy: Strategy): void {
  const { strategies } = authenticatorOf(app)
  if (strategies.some(({ name }) => name === strategy.name))
    throw errors.PLUGIN_OPTION_INVALID(
      'auth',
      'name',
      strategy.name,
      'another name for each strategy',
    )
  strategies.push(strategy)
}

/** What `app.auth` is: made where there is none. */
export function authenticatorOf(app: FastifyInstance): Authenticator {
  if (!app.hasDecorator('auth')) {
    app.decorate('auth', new Authenticator())
    app.decorateRequest('auth', null)
    if (!app.hasRequestDecorator('user')) app.decorateRequest<unknown>('user', null)
  }
  return app.auth
}
