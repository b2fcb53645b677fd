import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.ts'
import type { UpstreamClient } from '../upstream/client.ts'
import type { UpstreamClients } from '../upstream/clients.ts'
import type { ApiSettings, CheckedSettings } from './api-settings.ts'

/** Where an API is. */
export interface Target {
  /** `https://billing.internal:8443` */
  readonly origin: string
  /** What all paths begin with; without a slash at its end. */
  readonly prefix: string
}

/** An API as it is in one app. */
export interface Connected extends Target {
  readonly client: UpstreamClient
}

/** Where an API is; as a function it is asked once, when the app starts. */
export type BaseUrl = string | ((given: { config: FastifyInstance['config'] }) => string)

const BREAKER = { failures: 0.5, window: 10_000, minimum: 10, pause: 5000 }
const LIMIT = { connections: 50, waiting: 1000 }
const RETRY_BUDGET = 0.1
const CONNECT_TIMEOUT = 10_000

/** What an API is connected by: one client in each app. */
export class Connection {
  readonly name: string
  readonly baseUrl: BaseUrl | undefined
  /** Whether each call says where it goes. */
  readonly roams: boolean
  readonly #settings: CheckedSettings<ApiSettings>
  readonly #known = new WeakMap<UpstreamClients, Connected>()

  constructor(
    name: string,
    baseUrl: BaseUrl | undefined,
    settings: CheckedSettings<ApiSettings>,
    roams = false,
  ) {
    this.name = name
    this.baseUrl = baseUrl
    this.roams = roams
    this.#settings = settings
  }

  /** @throws {PlinthError} UPSTREAM_MISSING, API_INVALID */
  in(app: FastifyInstance): Connected {
    const clients: UpstreamClients | undefined = app.upstream
    if (!clients) throw errors.UPSTREAM_MISSING()
    const known = this.#known.get(clients)
    if (known) return known
    const made = this.#connect(app, clients)
    this.#known.set(clients, made)
    return made
  }

  #connect({ config }: FastifyInstance, clients: UpstreamClients): Connected {
    const { baseUrl, name, roams } = this
    const given = typeof baseUrl === 'function' ? baseUrl({ config }) : baseUrl
    const target = roams ? NOWHERE : readUrl(name, 'baseUrl', given)
    const { retry, breaker, limit, addresses, tls = {} } = this.#settings
    const client = clients.create({
      name,
      origin: roams ? undefined : target.origin,
      retryBudget: (retry ? retry.budget : undefined) ?? RETRY_BUDGET,
      breaker: breaker !== false && { ...BREAKER, ...breaker },
      limit: { ...LIMIT, ...limit },
      connectTimeout: CONNECT_TIMEOUT,
      tls: typeof tls === 'function' ? tls({ config }) : tls,
      addresses: addresses ?? (roams ? 'public' : 'any'),
    })
    return { ...target, client }
  }
}

const NOWHERE: Target = { origin: '', prefix: '' }

/**
 * Reads a base URL.
 *
 * @param name of the API
 * @param place what has it
 * @throws {PlinthError} API_INVALID; the URL is not in it, since it may have a password
 */
export function readUrl(name: string, place: string, given: unknown): Target {
  const url = typeof given === 'string' ? URL.parse(given) : null
  const refuse = (problem: string) => errors.API_INVALID(name, `its ${place} ${problem}`)
  if (!url || !/^https?:$/.test(url.protocol))
    throw refuse('is no URL; expected https://host or http://host')
  if (url.username || url.password)
    throw refuse('has a user or password; say auth: { basic } instead')
  if (url.search || url.hash) throw refuse('has a query or a fragment; expected a path at most')
  return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, '') }
}
