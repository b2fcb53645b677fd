import type { FastifyInstance } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { errors } from '../errors.ts'
import type { Context } from '../resource/context.ts'
import type { AnyDefined, ResourceDefinition } from '../resource/contract.ts'
import { defineResource, type Resource } from '../resource/resource.ts'
import { trustResponses } from '../resource/response-check.ts'
import { hasFiles } from '../resource/stream.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import type { Value } from '../schema/value.ts'
import { type Address, createAddress } from './address-request.ts'
import { type ApiSettings, checkSettings } from './api-settings.ts'
import { type BaseUrl, Connection } from './connection.ts'
import { type BodyForm, Performer, streamsOf } from './performer.ts'

/** Another system, as `defineApi` takes it: where it is, who calls, and how long, how often and how much. */
export interface ApiDefinition extends ApiSettings {
  /** In logs and errors; unique in an app. */
  name: string
  /**
   * Where it is, its path included; as a function it is asked once, when the app starts. Not needed where each of its resources has an `origin`.
   */
  baseUrl?: BaseUrl
}

/** One resource of an API: what any resource says, but how it is performed, and what of the API is another thing for it. */
export interface ApiResourceDefinition<Req extends TSchema, Res extends TSchema>
  extends Omit<ResourceDefinition<Req, Res>, NotOfApis>,
    Omit<ApiSettings<Value<Req>>, 'auth'> {
  /** Behind the base URL, with `{name}` for what goes there from the request; may be empty. */
  path: string
  /**
   * What is left of the request, beside path and query, as its body: `json`, `form` (URL-encoded), `multipart`, or `file`, the one property
   * that is left. Default: `multipart` where it has a `file()`, or a property that may be anything is a file; else `json`.
   */
  body?: BodyForm
  /**
   * Where this call goes, by its data, in place of `baseUrl`: `https://host:port/path`. It has connections of its own, without a breaker unless it
   * says one, and to public addresses only unless it says `addresses: 'any'`.
   */
  origin?: (input: Value<Req>, context: Context) => string
  /** Whether it may be repeated; default: GET, PUT and DELETE may. */
  idempotent?: boolean
}

type NotOfApis =
  | 'perform'
  | 'path'
  | 'expose'
  | 'errors'
  | 'timeout'
  | 'etag'
  | 'lastModified'
  | 'consumes'

/** Another system, whose operations are resources of the service. */
export interface Api {
  readonly name: string
  /**
   * A resource that the other system performs: typed, validated, cached, called in bulk, enqueued, authorized as any. It is listed in a module, and has no
   * route: what is served calls it.
   *
   * @param address divides its requests, in place of what `path`, `query` and `body` say
   * @throws {PlinthError} API_INVALID
   */
  resource<Req extends TSchema = typeof NOTHING, Res extends TSchema = typeof NULL>(
    definition: ApiResourceDefinition<Req, Res>,
    address?: Address,
  ): Resource<Req, Res>
}

const NOTHING = Type.Object({})
const NULL = Type.Null()

/** What a resource of an API has a connection of its own for, where it says it. */
const OF_CONNECTIONS = ['limit', 'breaker', 'tls', 'addresses', 'origin'] as const
/** What the pipeline knows nothing of. */
const OF_CALLS = [
  'headers',
  'timeout',
  'retry',
  'maxBytes',
  'envelope',
  'errors',
  'hooks',
  'idempotent',
  'path',
  'query',
  'body',
] as const

const performers = new WeakMap<AnyDefined, Performer>()

/** Describes another system, whose resources are called as those of this one. */
export function defineApi(api: ApiDefinition): Api {
  const { name, baseUrl, ...given } = api
  const settings = checkSettings(name, given)
  const connection = new Connection(name, baseUrl, settings)
  return {
    name,
    resource(definition, address) {
      const { method = 'GET', path, query = [], request = NOTHING, idempotent, origin } = definition
      const { response, cache, schedule } = definition
      const hasFile = hasFiles(request as object as JsonSchema)
      const streams = response !== undefined && streamsOf(response)
      if ((hasFile || streams) && (cache || schedule))
        throw errors.API_INVALID(
          name,
          `${method} ${path} has a file or stream, which no cache or task can keep`,
        )
      const { auth: _, ...anew } = definition
      const own = checkSettings<ApiSettings<never>>(name, {
        ...settings,
        ...anew,
        // One of those who are called must not keep the others from being called.
        ...(origin && !definition.breaker && { breaker: false }),
        hooks: { ...settings.hooks, ...definition.hooks },
        errors: { ...settings.errors, ...definition.errors },
      })
      const isOwn = OF_CONNECTIONS.some((key) => key in definition)
      const performer = new Performer(
        isOwn ? new Connection(name, baseUrl, own as never, !!origin) : connection,
        {
          ...own,
          ...(origin && { origin }),
          body: definition.body ?? (hasFile ? 'multipart' : isOpen(request) ? 'any' : 'json'),
          streams,
          method,
          idempotent: idempotent ?? IDEMPOTENT.includes(method),
          address:
            address ??
            createAddress({
              name,
              method,
              path,
              query,
              request: request as object as JsonSchema,
            }),
        },
      )
      const ofResource: Record<string, unknown> = { ...definition }
      for (const key of [...OF_CONNECTIONS, ...OF_CALLS]) delete ofResource[key]
      const resource: Resource<TSchema, TSchema> = defineResource({
        ...(ofResource as { summary: string }),
        expose: false,
        perform: (input: unknown, context: Context) =>
          performer.perform(resource, input as never, context),
      } as ResourceDefinition<TSchema, TSchema>)
      performers.set(resource, performer)
      trustResponses(resource)
      return resource as never
    },
  }
}

/** Whether something of `app` is performed by another system or process: whatever it serves may fail with that. */
export function callsOthers({ registry, elsewhere }: FastifyInstance): boolean {
  return elsewhere !== undefined || [...registry].some(({ resource }) => performers.has(resource))
}

/** Whether it is a resource of an API. */
export function isOfApi(resource: AnyDefined): boolean {
  return performers.has(resource)
}

/** Whether `request` has a property that may be anything. */
function isOpen(request: TSchema): boolean {
  const { properties = {} } = request as object as JsonSchema
  return Object.values(properties).some((one) => !SAYING.some((keyword) => keyword in one))
}

/** Keywords that say what a value is. */
const SAYING = ['type', 'const', 'enum', 'anyOf', 'oneOf', 'allOf', '$ref', 'not']

const IDEMPOTENT = ['GET', 'PUT', 'DELETE']

/**
 * Looks at the APIs of an app before it is ready.
 *
 * @returns the packages that they need
 * @throws {PlinthError} API_INVALID where one has no usable `baseUrl`, or two have one name
 */
export function assertApis(app: FastifyInstance): string[] {
  const connections = new Set<Connection>()
  const packages = new Set<string>()
  for (const { resource } of app.registry) {
    const performer = performers.get(resource)
    if (!performer) continue
    connections.add(performer.connection)
    for (const name of performer.packages) packages.add(name)
  }
  const names = new Map<string, unknown>()
  for (const connection of connections) {
    const { name, roams } = connection
    if (!roams && names.has(name) && names.get(name) !== connection.baseUrl)
      throw errors.API_INVALID(name, 'another API of this app is called so, too')
    if (!roams) names.set(name, connection.baseUrl)
    connection.in(app)
  }
  return [...packages]
}
