import type { FastifyInstance } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { allowsTasks } from '../http/as-task.ts'
import { envelopeOf, failureStatusOf, successStatusOf } from '../http/envelope.ts'
import { idempotencyOf } from '../http/idempotency.ts'
import { splitRequest } from '../http/request.ts'
import type { Auth } from '../resource/access.ts'
import type { Method } from '../resource/contract.ts'
import type { Listing } from '../resource/registry.ts'
import { type JsonSchema, pickProperties } from '../schema/json-schema.ts'
import { compileExact, compileLater, toDetails } from '../schema/validate.ts'

/** The version of the form below: another one is not read. */
export const CONTRACT_FORMAT = 1

/** What callers of a service know of it. JSON. */
export interface ServiceContract {
  readonly contract: typeof CONTRACT_FORMAT
  readonly service: string
  readonly version: string
  /** The form of its answers: `standard`, `problem`, `bk`, or `own`, which nothing else tells of. */
  readonly envelope: string
  /** Where tasks are looked up by their ids; null: nowhere. */
  readonly tasks: string | null
  /** By their names, sorted. */
  readonly resources: Readonly<Record<string, ResourceContract>>
}

/** What callers know of a resource: how it is asked for, what goes in, what comes out. */
export interface ResourceContract {
  readonly method: Method
  /** With all prefixes, and `:name` for parameters. */
  readonly path: string
  /** The properties of the request that are in the query; what is neither there nor in the path is the body: JSON, or a form where it has a file. */
  readonly query: readonly string[]
  /** Complete in itself; it refuses what it does not list. */
  readonly request: JsonSchema
  /** Complete in itself. */
  readonly response: JsonSchema
  /** The HTTP status of success. */
  readonly status: number
  /** Its own errors, and the HTTP status of each. */
  readonly errors: readonly { readonly code: string; readonly status: number }[]
  /** Whether the header `X-Async-Task` makes a call of it a task. */
  readonly async: boolean
  /** Whether a request that comes again with the same header `Idempotency-Key` gets the answer of the first, or has to have it. */
  readonly idempotency?: true | 'required'
  /** Who may call it, where that is decided. */
  readonly auth?: Auth
  /** The media types of bodies that it reads itself. */
  readonly consumes?: readonly string[]
}

/** What a contract tells of a service that its app does not know. */
export interface ContractInfo {
  /** The name of the service. */
  readonly name: string
  /** Default `0.0.0`. */
  readonly version?: string | undefined
  /** Where tasks are looked up; `false`: nowhere. Default `/tasks`. */
  readonly tasks?: string | false | undefined
}

/** The contract of what `app`, which is ready, serves: the resources that have a route. */
export function contractOf(app: FastifyInstance, info: ContractInfo): ServiceContract {
  const { name, version = '0.0.0', tasks = '/tasks' } = info
  const served = [...app.registry.listings()].filter(
    ({ exposed, module }) => exposed && module.runsHere,
  )
  const entries = served.map((listing) => [listing.name, resourceContract(app, listing)] as const)
  return {
    contract: CONTRACT_FORMAT,
    service: name,
    version,
    envelope: envelopeOf(app).name ?? 'own',
    tasks: tasks === false || !app.tasks ? null : app.prefix + tasks,
    resources: Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  }
}

/** What callers know of a resource as it is listed in `app`, whether that serves it or not. */
export function resourceContract(app: FastifyInstance, listing: Listing): ResourceContract {
  const { entry, name, access, module, path: place } = listing
  const { resource } = entry
  const { definition } = resource
  const idempotency = idempotencyOf(name, resource, module.idempotency ?? false)
  const compiled = app.compiled.of(resource)
  const envelope = envelopeOf(app)
  const path = app.prefix + place
  const { querystring } = splitRequest(compiled.request, resource, name, path)
  const errors = (definition.errors ?? []).map((error) => ({
    code: error.code,
    status: failureStatusOf(envelope, error),
  }))
  return {
    method: definition.method ?? 'GET',
    path,
    query: Object.keys(querystring?.properties ?? {}),
    request: compiled.request,
    response: compiled.response,
    status: successStatusOf(envelope, definition),
    errors,
    async: allowsTasks(name, definition, compiled, module.async ?? false),
    ...(idempotency && { idempotency }),
    ...(access && { auth: access.auth }),
    ...(definition.consumes && { consumes: Object.keys(definition.consumes) }),
  }
}

/** What of a request is neither in its path nor in its query. */
export function bodyOf({ path, query, request }: ResourceContract): JsonSchema {
  const inPath = Array.from(path.matchAll(/:(\w+)/g), ([, name]) => name)
  const names = Object.keys(request.properties ?? {})
  return pickProperties(
    request,
    names.filter((name) => !inPath.includes(name) && !query.includes(name)),
  )
}

/** A contract as text, the same for the same service. */
export function writeContract(contract: ServiceContract): string {
  return `${JSON.stringify(contract, null, 2)}\n`
}

const Schema = Type.Object({})

/** What is read of a contract; others may say more. */
const Contract = Type.Object({
  envelope: Type.String(),
  tasks: Type.Union([Type.String(), Type.Null()]),
  resources: Type.Record(
    Type.String(),
    Type.Object({
      method: Type.Enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
      path: Type.String({ pattern: '^/' }),
      query: Type.Array(Type.String()),
      request: Schema,
      response: Schema,
      errors: Type.Array(Type.Object({ code: Type.String() })),
      async: Type.Boolean(),
      idempotency: Type.Optional(Type.Union([Type.Literal(true), Type.Literal('required')])),
      consumes: Type.Optional(Type.Array(Type.String())),
    }),
  ),
})
const isContract = compileLater(() => compileExact(Contract as TSchema as JsonSchema))

/** The contract that `value` is. @throws {TypeError} where it is none of this form, saying why */
export function asContract(value: unknown): ServiceContract {
  const { contract, resources, service } = Object(value) as Partial<ServiceContract>
  if (contract === undefined || typeof resources !== 'object' || typeof service !== 'string')
    throw new TypeError('it is no contract as manage contract export writes it')
  if (contract !== CONTRACT_FORMAT)
    throw new TypeError(`its form is ${contract}, this release reads ${CONTRACT_FORMAT}`)
  if (!isContract(value)) {
    const [first] = toDetails(isContract.errors)
    throw new TypeError(`it is no contract: ${first?.path} ${first?.message}`)
  }
  return value as ServiceContract
}
