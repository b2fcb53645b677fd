import type { Readable } from 'node:stream'
import { type TSchema, type TUnsafe, Type } from 'typebox'
import type { FileValue } from '../upstream/body.ts'
import { hasPart, type JsonSchema } from './schema.ts'

/** Bytes as they come. Of what an API answers, `headers` has those that tell what they are, by names in lower case. */
export interface ByteAnswer extends Readable {
  headers?: Readonly<Record<string, string>>
}

/**
 * The schema of a response that is a stream: of a resource of an API the answer, untouched. Only a route can answer with it, and what it calls hand
 * it on; no cache or task can keep it.
 */
export function stream(): TUnsafe<ByteAnswer> {
  return Type.Unsafe<ByteAnswer>({ type: 'string', format: 'binary', stream: true })
}

/**
 * The schema of a file in a request: a Blob, bytes, a stream, or a stream with its name, type and size. `openFile` makes the same of each. Over
 * HTTP it is the body itself where nothing else of the request is, and a part of a form (`multipart/form-data`) beside other properties.
 *
 * @param options `maxBytes`: how long it may be that comes over HTTP; default: BODY_LIMIT, in a form for all of it
 */
export function file(options: { maxBytes?: number } = {}): TUnsafe<FileValue> {
  return Type.Unsafe<FileValue>({ file: true, ...options })
}

export function isStreamSchema(schema: TSchema): boolean {
  return (schema as JsonSchema).stream === true
}

/** Whether `schema` has a file somewhere. */
export function hasFiles(schema: JsonSchema): boolean {
  return hasPart(schema, (part) => part.file === true)
}

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
