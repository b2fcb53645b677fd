import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { TSchema } from 'typebox'
import { errors } from '../errors.ts'
import { envelopeOf, type ParsedAnswer } from '../http/envelope.ts'
import { hasBody } from '../http/request.ts'
import { createAddress } from '../remote/address-request.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { Listing, Registered } from '../resource/registry.ts'
import { fromJson } from '../schema/json.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import type { Value } from '../schema/value.ts'

/** What a client gets. */
export interface Answer<Res extends TSchema = TSchema> {
  readonly statusCode: number
  readonly headers: LightMyRequestResponse['headers']
  readonly body: string
  /** What the resource has given. @throws {Error} where the answer is a failure, with what it says */
  readonly data: Value<Res>
  /** Null where it is none. */
  readonly failure: {
    readonly code: string
    readonly message: string
    readonly errors: unknown
  } | null
}

/**
 * A resource as an app lists it: the same one, or as `app.resources` has it.
 *
 * @throws {PlinthError} RESOURCE_UNLISTED
 */
export function listed({ registry }: FastifyInstance, { definition }: AnyDefined): Registered {
  for (const entry of registry) if (entry.resource.definition === definition) return entry
  throw errors.RESOURCE_UNLISTED(definition.summary)
}

/** The request that a client of the service would make for it. @throws {PlinthError} RESOURCE_UNLISTED, INVALID_REQUEST */
export async function send(
  app: FastifyInstance,
  inject: (request: InjectOptions) => Promise<LightMyRequestResponse>,
  resource: AnyDefined,
  input: unknown,
  headers: InjectOptions['headers'] = {},
): Promise<Answer> {
  const entry = listed(app, resource)
  const listing = entry.listings.find(({ exposed }) => exposed)
  if (!listing) throw new Error(`${entry.name} has no route: call it in process`)
  const { method = 'GET' } = resource.definition
  const { path, rest } = addressOf(listing)(input ?? {})
  const answer = await inject({
    method,
    url: path,
    headers: { ...(rest !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(rest !== undefined && { payload: JSON.stringify(rest) }),
  })
  return read(app, answer, `${method} ${path}`)
}

function addressOf({ name, path, entry: { resource } }: Listing) {
  const { method = 'GET', query = [] } = resource.definition
  return createAddress({
    name,
    method,
    path: path.replaceAll(/:(\w+)/g, '{$1}'),
    query,
    hasBody: hasBody(resource),
    request: resource.request as object as JsonSchema,
  })
}

function read(app: FastifyInstance, answer: LightMyRequestResponse, what: string): Answer {
  const { statusCode, headers, body } = answer
  const parsed = parse(app, answer)
  const failure = !parsed || parsed.ok ? null : parsed
  return {
    statusCode,
    headers,
    body,
    failure: failure && { code: failure.code, message: failure.message, errors: failure.errors },
    get data() {
      if (parsed?.ok) return parsed.data as never
      throw new Error(`${what} is answered with ${statusCode}: ${body}`)
    },
  }
}

function parse(
  app: FastifyInstance,
  { body, statusCode, headers }: LightMyRequestResponse,
): ParsedAnswer | undefined {
  if (!String(headers['content-type']).includes('json')) return undefined
  return envelopeOf(app).parse(fromJson(body), statusCode)
}
