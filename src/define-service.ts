import type { FastifyPluginAsync, FastifyPluginCallback, onRequestAsyncHookHandler } from 'fastify'
import type { TObject } from 'typebox'
import type { DefaultValues, EnvironmentDefaults } from './config/defaults.ts'
import type { KitConfig, ServiceConfig } from './config/schema.ts'
import type { Model } from './database/model/types.ts'
import type { Compat } from './http/compat.ts'
import type { Encoding } from './http/decompress.ts'
import type { Envelope, EnvelopeName } from './http/envelope.ts'
import type { GivenLanguage } from './http/languages.ts'
import type { Versions } from './http/versions.ts'
import type { RemoteSettings } from './remote/remote-resource.ts'
import type { KitAccess } from './resource/access.ts'
import type { Identify, LoadUser } from './resource/context.ts'
import type { Idempotency } from './resource/contract.ts'
import type { Authorize } from './resource/execute.ts'
import { assertKnown, type ModuleTable } from './resource/module.ts'
import type { RateLimit } from './resource/rate-limit.ts'
import type { SecurityInfo } from './resource/security.ts'
import type { QueueLimit } from './task/types.ts'

/** Paths of the kit's own routes; `false`: that one is not there. */
export interface KitRoutes {
  /** Default `/ping`. */
  ping?: string | false
  /** Default `/healthz`. */
  healthz?: string | false
  /** Default `/readyz`. */
  readyz?: string | false
  /** Where tasks are looked up and cancelled by their ids; default `/tasks`. */
  tasks?: string | false
  /** The page of the API document, which DOCS turns on; default `/docs`. */
  docs?: string | false
  /** The API document, without which there is no page either; default `/openapi.json`. */
  openapi?: string | false
  /** What callers of the service know of it, which CONTRACT turns on; default `/contract.json`. */
  contract?: string | false
  /** What the process counts, which METRICS turns on; default `/metrics`. */
  metrics?: string | false
  /** The page of the queues, which QUEUES turns on; default `/_/queues`. */
  queues?: string | false
}

/** One kind of process, as a platform runs it. */
export interface ProcessSettings {
  /** Words and quotes, without a shell: `manage serve`. */
  command: string
  /** How many of them; default 2 of `web`, 1 of others. */
  replicas?: number
  /** How many at most, where the platform adds some by their load; default 10 of `web`, of others as many as `replicas`. */
  maxReplicas?: number
  /** How many CPUs one has; default 1. */
  cpu?: number
  /** How much memory one has, in MB; default 512. */
  memory?: number
}

/** The processes of a service by their names: lower case letters, digits and `-`. */
export interface ProcessTable {
  /** The one that serves HTTP. */
  web: string | ProcessSettings
  /** `release` runs once before each release, and ends; all others run as long as it does. */
  [name: string]: string | ProcessSettings | undefined
}

/** What a service is made of. */
export interface ServiceDefinition<Modules extends ModuleTable = ModuleTable> extends SecurityInfo {
  /** Lower case words joined by `-`; names the service in logs and in the API document. */
  name: string
  /** Shown in the API document; default `0.0.0`. */
  version?: string
  description?: string
  /** The variables of the environment that are its own, joined to the kit's. */
  env?: TObject
  /**
   * What variables are where nothing sets them, its own and the kit's, by environment: `dev`, `stag` or `prod`, as
   * BKPAAS_ENVIRONMENT says, else `prod` where NODE_ENV is `production`, else `dev`. Tests (NODE_ENV `test`) have none.
   */
  defaults?: EnvironmentDefaults<Partial<KitConfig & ServiceConfig> & DefaultValues>
  modules: Modules
  /** Its tables: what `manage makemigrations` compares with the migrations, and `app.db` knows of. */
  models?: readonly Model[]
  /**
   * Whether other services have tables in its database, too: what the kit records of its migrations, seeds and outbox is in tables of its
   * own then, `plinth_migration_billing`. Default false. To be said before the first migration is applied.
   */
  sharesDatabase?: boolean
  /** The id that audit columns get where no user is known: outside of requests, and in those of nobody. */
  actor?: () => string | undefined
  /**
   * Who makes a request. Default: `request.user`, as a hook of the service has put it there, with its `id`, else its `sub`
   * (`@fastify/jwt`'s claims). Where ids are unique only within a tenant, the tenant has to be in them.
   */
  identify?: Identify
  /**
   * Decides whether a call of a resource may be made, by its user, input and name; throws what the caller is told. It is asked
   * first, whichever way the call comes: a route, in process, in bulk, a task when it is added and when it runs. Default: each may.
   */
  authorize?: Authorize
  /**
   * Demands a decision of who may call each resource (`auth`, `permissions`, there or in its module), and enforces it, with the
   * strategies among `plugins`; `{ routes }` decides of the kit's own routes. Default: everybody may call all, but for what
   * `authorize` refuses.
   */
  auth?: true | { routes?: KitAccess }
  /**
   * How many requests may be made in a time, whatever they ask for; a list without any where only modules, resources or routes say
   * it. Default: as many as come.
   */
  rateLimits?: RateLimit | readonly RateLimit[]
  /** Makes the user of a task in the worker; without it no task can be enqueued for a user. */
  loadUser?: LoadUser
  /** Whether clients may have any resource run as a task, where neither it nor its module says it; default false. */
  async?: boolean
  /** How its resources take the header `Idempotency-Key`, where neither they nor their module say it; default false: not at all. */
  idempotency?: Idempotency
  /** Its plugins, by `definePlugin` or any of Fastify: registered before the modules, sorted by what they need. */
  plugins?: readonly (FastifyPluginAsync | FastifyPluginCallback)[]
  /** The form of every answer: `standard`, `problem` or your own; default `standard`. */
  envelope?: EnvelopeName | Envelope
  /** Answers as BlueKing's kits do, with their codes and HTTP statuses, in place of `envelope`. */
  compat?: Compat
  /**
   * Languages that errors are told in beside `en` and `zh-CN`, by their tags, and messages of the service's own errors in any.
   * Clients say which by the cookie `blueking_language`, or `Accept-Language`.
   */
  languages?: Readonly<Record<string, GivenLanguage>>
  /** Versions of its modules that clients may choose by a header, too; by a path they have them without this. */
  versions?: Versions
  /** Reads compressed bodies, up to BODY_LIMIT bytes of what comes out; default: they are answered with 415. */
  decompress?: true | readonly Encoding[]
  /** Where the kit's own routes are: to move one, or to leave it out. Default: each at its place. */
  routes?: KitRoutes
  /** `/_/queues`, which QUEUES turns on: in production only behind a hook that refuses strangers. */
  queues?: { protect: onRequestAsyncHookHandler }
  /** How the modules are called that other processes perform (PLINTH_REMOTES, `remote` of a module); default: as nobody, for 10 s at most. */
  remotes?: RemoteSettings
  /** Queues beside `default`, those of `limits` and those that resources name in `task.queue`. */
  taskQueues?: readonly string[]
  /**
   * Of a queue, in all processes together: at most `max` tasks start in any stretch of `duration`, a sliding window, and `concurrency` of them
   * run at once.
   */
  limits?: Readonly<Record<string, QueueLimit>>
  /**
   * What a platform runs of it, which `manage deploy` writes its files from. Default: `web` is `manage serve`, `worker` is
   * `manage worker` where there are tasks or schedules, `release` is `manage migrate` where there are migrations.
   */
  processes?: ProcessTable
  /**
   * What `manage check` finds and the service accepts, by its code, or its code and of what it is (`route-without-deadline:GET
   * /events`), each with the reason.
   */
  check?: { accept: Readonly<Record<string, string>> }
}

const KEYS = {
  name: true,
  version: true,
  description: true,
  env: true,
  defaults: true,
  modules: true,
  models: true,
  sharesDatabase: true,
  actor: true,
  identify: true,
  authorize: true,
  auth: true,
  rateLimits: true,
  loadUser: true,
  async: true,
  idempotency: true,
  plugins: true,
  envelope: true,
  compat: true,
  languages: true,
  versions: true,
  decompress: true,
  routes: true,
  queues: true,
  remotes: true,
  taskQueues: true,
  limits: true,
  processes: true,
  check: true,
  security: true,
  securitySchemes: true,
} satisfies Record<keyof ServiceDefinition, true>

const LIMIT = { max: true, duration: true, concurrency: true } satisfies Record<
  keyof QueueLimit,
  true
>

const ROUTES = {
  ping: true,
  healthz: true,
  readyz: true,
  tasks: true,
  docs: true,
  openapi: true,
  contract: true,
  metrics: true,
  queues: true,
} satisfies Record<keyof KitRoutes, true>

/**
 * Refuses what nothing would read of a service: a misspelt key would do nothing, without a word.
 *
 * @throws {PlinthError} SERVICE_INVALID
 */
export function assertKeys(service: ServiceDefinition): void {
  const { routes = {}, queues = {}, limits = {}, auth = {}, check = {}, versions = {} } = service
  assertKnown('defineService', service, KEYS)
  assertKnown('routes of defineService', routes, ROUTES)
  assertKnown('queues of defineService', queues, { protect: true })
  assertKnown('auth of defineService', auth === true ? {} : auth, { routes: true })
  assertKnown('check of defineService', check, { accept: true })
  assertKnown('versions of defineService', versions, {
    header: true,
    prefixes: true,
    default: true,
  })
  for (const [name, limit] of Object.entries(limits))
    assertKnown(`limits.${name} of defineService`, limit, LIMIT)
}

/** Defines a service: the default export of its `src/service.ts`. */
export function defineService<const Modules extends ModuleTable>(
  definition: ServiceDefinition<Modules>,
): ServiceDefinition<Modules> {
  return definition
}
