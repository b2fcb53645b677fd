import { readFileSync } from 'node:fs'
import type { TUnsafe } from 'typebox'
import { errors } from '../../errors.ts'
import { type Address, fillPath } from '../../remote/address-request.ts'
import type { Api, ApiResourceDefinition } from '../../remote/api.ts'
import type { ApiHooks } from '../../remote/api-settings.ts'
import type { Method } from '../../resource/contract.ts'
import type { AnyResource, Resource } from '../../resource/resource.ts'
import { stream } from '../../resource/stream.ts'
import { SchemaDocument } from '../../schema/document.ts'
import type { JsonSchema } from '../../schema/json-schema.ts'
import {
  type EncodedBody,
  encodeFile,
  encodeMultipart,
  type FileValue,
} from '../../upstream/body.ts'

/** How a list or an object is written into a query, where it is not `name=value` for each of its items. */
export type Style = 'comma' | 'space' | 'pipe' | 'deep'

/** How a request becomes one over HTTP; the entry of an operation in operations.json. */
export interface Wire {
  summary: string
  method: Method
  /** `/users/{id}` */
  path: string
  /** The properties that go to the query. */
  query?: string[]
  /** The header that each of these properties goes to. */
  headers?: Record<string, string>
  /** What properties are called there, where they have another name here. */
  names?: Record<string, string>
  styles?: Record<string, Style>
  /** How what is left is sent; default: there is no body. */
  body?: 'json' | 'form' | 'multipart' | 'text' | 'bytes'
  /** The property that is the whole body; default: what is left of the request. */
  whole?: string
  /** The media type of the body, where it is not the one that goes without saying. */
  type?: string
  /** The parts of a form that are written in pieces: `address[city]=Ys`. */
  deep?: readonly string[]
  /** How the answer is read; default: JSON, or nothing. */
  answer?: 'text' | 'stream'
  /** The variable with the address of its server, where it has one of its own. */
  server?: string
}

/** A resource that `manage client` has written. */
export type ApiOperation<Request, Response> = Resource<TUnsafe<Request>, TUnsafe<Response>>

/** What a service says of single operations, beside what their document does: how one is cached, retried, what its failures are told as. */
export type OperationSettings<Operations> = {
  readonly [Name in keyof Operations]?: Operations[Name] extends Resource<infer Req, infer Res>
    ? Omit<Partial<ApiResourceDefinition<Req, Res>>, OfDocument>
    : never
}

type OfDocument = 'method' | 'path' | 'query' | 'body' | 'request' | 'response'

/**
 * The resources of a client that `manage client` has written. Their schemas are read from `schemas.json` when the first is called.
 *
 * @param apis `api`, and those of other servers by their variables
 * @param from the module that operations.json and schemas.json lie beside: `import.meta.url`
 * @param settings of single operations; default: none
 * @throws {PlinthError} API_INVALID where they are of one that is not there
 */
export function defineOperations<Operations extends Record<string, AnyResource>>(
  apis: { readonly api: Api; readonly [variable: string]: Api },
  from: string,
  settings: OperationSettings<Operations> = {},
): Operations {
  const load = (name: string) => JSON.parse(readFileSync(new URL(name, from), 'utf8'))
  const { operations } = load('operations.json') as { operations: Record<string, Wire> }
  const schemas = new SchemaDocument(() => load('schemas.json').$defs as Record<string, JsonSchema>)
  const unknown = Object.keys(settings).find((name) => !Object.hasOwn(operations, name))
  if (unknown !== undefined)
    throw errors.API_INVALID(
      apis.api.name,
      `there are settings of ${unknown}, which is no operation`,
    )
  const resources = Object.entries(operations).map(([name, wire]) => {
    const { summary, method, path, body, answer, server = 'api' } = wire
    const request = schemas.schema(`${name}:request`)
    const hasFile = body === 'multipart' || body === 'bytes'
    const own: Partial<ApiResourceDefinition<TUnsafe<unknown>, TUnsafe<unknown>>> =
      settings[name] ?? {}
    const definition = {
      summary,
      ...own,
      method,
      path,
      // As `file()` says it, so that no task keeps it: the schema itself is not read yet.
      request: hasFile ? { ...request, file: true } : request,
      response: answer === 'stream' ? stream() : schemas.schema(`${name}:response`),
      ...(answer === 'text' && { hooks: { ...READ_TEXT, ...own.hooks } }),
    }
    return [name, (apis[server] ?? apis.api).resource(definition, addressOf(name, wire))]
  })
  return Object.fromEntries(resources)
}

const READ_TEXT: ApiHooks = {
  parseResponse: ({ status, body }) =>
    status < 400 ? { ok: true, data: body.toString() } : undefined,
}

type Data = Record<string, unknown>

/** What divides the requests of an operation over path, query, headers and body. */
function addressOf(name: string, wire: Wire): Address {
  const { path, query = [], names = {}, styles = {}, headers: inHeaders = {} } = wire
  const segments = path.split(/\{([^{}]*)\}/)
  const taken = new Set([
    ...segments.filter((_, at) => at % 2 === 1),
    ...query,
    ...Object.keys(inHeaders),
  ])
  return (request) => {
    const data = request as Data
    const pairs = query.flatMap((property) =>
      pairsOf(names[property] ?? property, data[property], styles[property]),
    )
    const headers: Record<string, string> = {}
    if (wire.answer === 'text') headers.accept = 'text/plain, */*'
    for (const [property, header] of Object.entries(inHeaders))
      if (data[property] !== undefined) headers[header.toLowerCase()] = String(data[property])
    const filled = fillPath(name, segments, data)
    const sent = {
      path: pairs.length > 0 ? `${filled}?${writePairs(pairs)}` : filled,
      rest: undefined,
      headers,
    }
    const left = Object.entries(data).filter(([property]) => !taken.has(property))
    const body = wire.whole === undefined ? Object.fromEntries(left) : data[wire.whole]
    if (wire.body === undefined || body === undefined) return sent
    const encoded = encode(wire, body)
    if (wire.type !== undefined) headers['content-type'] = wire.type
    return { ...sent, encoded }
  }
}

function encode({ body: kind, deep = [] }: Wire, data: unknown): EncodedBody {
  switch (kind) {
    case 'form': {
      // How an object is written otherwise is not agreed.
      const styleOf = (name: string, one: unknown) =>
        deep.includes(name) || isObject(one) ? 'deep' : undefined
      const parts = Object.entries(data as Data)
      const pairs = parts.flatMap(([name, one]) => pairsOf(name, one, styleOf(name, one)))
      return { body: writePairs(pairs), headers: typed('application/x-www-form-urlencoded') }
    }
    case 'multipart': {
      const parts = Object.entries(data as Data).flatMap(([name, one]) =>
        deep.includes(name) ? pairsOf(name, one, 'deep') : [[name, one] as const],
      )
      return encodeMultipart(Object.fromEntries(parts))
    }
    case 'text':
      return { body: String(data), headers: typed('text/plain') }
    case 'bytes':
      return encodeFile(data as FileValue)
    default:
      return { body: JSON.stringify(data), headers: typed('application/json') }
  }
}

function typed(type: string): Record<string, string> {
  return { 'content-type': type }
}

type Pairs = (readonly [name: string, value: string])[]

const SEPARATORS = { comma: ',', space: ' ', pipe: '|' }

/** `undefined` is left out, null is empty. */
function pairsOf(name: string, value: unknown, style: Style | undefined): Pairs {
  if (value === undefined) return []
  if (style === 'deep') return deepPairsOf(name, value)
  if (!Array.isArray(value)) return [[name, textOf(value)]]
  if (style === undefined) return value.map((one) => [name, textOf(one)])
  return [[name, value.map(textOf).join(SEPARATORS[style])]]
}

/** `born[gte]=1`, `lines[0]=a` */
function deepPairsOf(name: string, value: unknown): Pairs {
  if (typeof value !== 'object' || value === null) return [[name, textOf(value)]]
  return Object.entries(value).flatMap(([key, one]) =>
    one === undefined ? [] : deepPairsOf(`${name}[${key}]`, one),
  )
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown): string {
  if (value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function writePairs(pairs: Pairs): string {
  return pairs.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
}
