import type { Readable } from 'node:stream'
import { type Static, type TSchema, type TUnsafe, Type } from 'typebox'
import { type Duration, readTime, TIMER } from '../duration.ts'
import { hasPart, type JsonSchema } from '../schema/json-schema.ts'
import type { FileValue } from '../upstream/body.ts'

/** Bytes as they come. Of what an API answers, `headers` has those that tell what they are, by names in lower case. */
export interface ByteAnswer extends Readable {
  headers?: Readonly<Record<string, string>>
}

/**
 * The schema of a response that is a stream: of a resource of an API the answer, untouched. Only a route can answer with it, and what it calls hand
 * it on; no cache or task can keep it.
 *
 * @param types the media types that it may have; the first one where nothing else says it. Default `application/octet-stream`
 * @param options `ranges`: whether clients may ask for a part of what `download` answers with (RFC 9110, 14); default false
 */
export function stream(
  types: string | readonly string[] = [],
  { ranges = false }: { ranges?: boolean } = {},
): TUnsafe<ByteAnswer> {
  const contentTypes = [types].flat()
  return Type.Unsafe<ByteAnswer>({
    type: 'string',
    format: 'binary',
    stream: true,
    ...(contentTypes.length > 0 && { contentTypes }),
    ...(ranges && { ranges }),
  })
}

/** What the schema of a response says of a stream. */
export interface StreamSchema {
  readonly contentTypes?: readonly string[]
  readonly ranges?: boolean
  readonly events?: { readonly heartbeat: number }
}

/** How a stream that was made here wants to be sent. */
export interface Sending {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Bytes, where they are known. */
  readonly size?: number
  /** Opens its bytes from `start` on, before `end`; only where the size is known. */
  readonly part?: (start: number, end: number) => Readable
}

const sendings = new WeakMap<object, Sending>()

/** `stream`, which from now on says how it is sent. */
export function sentAs(stream: Readable, sending: Sending): ByteAnswer {
  sendings.set(stream, sending)
  return Object.assign(stream, { headers: sending.headers })
}

export function sendingOf(stream: object): Sending | undefined {
  return sendings.get(stream)
}

/** One of many things that happen, as `EventSource` of a browser gets it. */
export interface ServerEvent<Data = unknown> {
  data: Data
  /** With what a client that has lost its connection says where it was: `context.lastEventId`. */
  id?: string
  /** What kind it is of; default `message`. */
  event?: string
  /** Milliseconds after which a client that has lost its connection shall try again: as the protocol has it. */
  retry?: number
}

const ONE_LINE = '^[^\\u0000\\r\\n]*$'

/**
 * The schema of a response that is a stream of server-sent events: `perform` returns an async iterable of them, as an `async function*` is. It ends
 * when the client leaves or the process ends. Only a route can answer with it.
 *
 * @param data the schema of what each event tells
 * @param options `heartbeat`: after how long something is sent again and again for the connection not to be taken for dead, milliseconds or a text
 *   like `'15s'`, which is the default
 */
export function events<Data extends TSchema>(
  data: Data,
  options: { heartbeat?: Duration } = {},
): TUnsafe<AsyncIterable<ServerEvent<Static<Data>>>> {
  const { heartbeat: given = 15_000 } = options
  // What is none is told with the name of the resource.
  const heartbeat = readTime(given, TIMER) ?? (given as number)
  const line = Type.Optional(Type.String({ pattern: ONE_LINE }))
  const retry = Type.Optional(Type.Integer({ minimum: 0 }))
  return Type.Unsafe({
    ...Type.Object({ data, id: line, event: line, retry }),
    ...{ stream: true, events: { heartbeat } },
  })
}

export function isEventSchema(schema: TSchema): boolean {
  return (schema as StreamSchema).events !== undefined
}

/**
 * The schema of a file in a request: a Blob, bytes, a stream, or a stream with its name, type and size. `openFile` makes the same of each. Over
 * HTTP it is the body itself where nothing else of the request is, and a part of a form (`multipart/form-data`) beside other properties.
 *
 * @param options `maxBytes`: how long it may be that comes over HTTP; default: BODY_LIMIT, in a form for all of it. `types`: the media types that it may
 *   have, `image/png` or `image/*`; where the first bytes of a type are known, those that come over HTTP have to be them. Default: any
 */
export function file(
  options: { maxBytes?: number; types?: readonly string[] } = {},
): TUnsafe<FileValue> {
  return Type.Unsafe<FileValue>({ file: true, ...options })
}

export function isStreamSchema(schema: TSchema): boolean {
  return (schema as JsonSchema).stream === true
}

/** Whether `schema` has a file somewhere. It is looked through once: each task asks. */
export function hasFiles(schema: JsonSchema): boolean {
  const known = withFiles.get(schema)
  if (known !== undefined) return known
  const found = hasPart(schema, (part) => part.file === true)
  withFiles.set(schema, found)
  return found
}

const withFiles = new WeakMap<JsonSchema, boolean>()

/**
 * Whether `value` is sent as the bytes that it has, as Fastify does it: a stream of Node.js or of the web, or a `Response`.
 * Apart from the check of responses, because routes ask first.
 */
export function isStream(value: unknown): value is object {
  if (isPlain(value)) return false
  const { pipe, getReader } = value as { pipe?: unknown; getReader?: unknown }
  return (
    typeof pipe === 'function' ||
    typeof getReader === 'function' ||
    Object.prototype.toString.call(value) === '[object Response]'
  )
}

/** Whether `value` gives what it has one by one, to who awaits it: JSON knows nothing of it. */
export function isAsyncIterable(value: unknown): boolean {
  return !isPlain(value) && Symbol.asyncIterator in (value as object)
}

/** Most responses are objects of no class, or lists: of them nothing more is asked. */
function isPlain(value: unknown): value is null | undefined | string | number | boolean | bigint {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true
  return Object.getPrototypeOf(value) === Object.prototype && !(Symbol.asyncIterator in value)
}

/** Ends what nobody reads, so that it holds nothing open. */
export function discard(stream: object): void {
  const { destroy, cancel, body } = stream as {
    destroy?: () => void
    cancel?: () => Promise<void>
    body?: ReadableStream | null
  }
  // A web stream that somebody else reads already cannot be cancelled, and needs not.
  if (typeof destroy === 'function') destroy.call(stream)
  else if (typeof cancel === 'function') cancel.call(stream).catch(() => {})
  else body?.cancel().catch(() => {})
}
