import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest, preValidationHookHandler } from 'fastify'
import { errors } from '../errors.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { JsonSchema } from '../resource/schema.ts'
import { hasFiles } from '../resource/stream.ts'
import type { Upload } from '../upstream/body.ts'
import { problemOfEncoding } from './body.ts'
import { isObject, type RequestParts } from './request.ts'

/** How a request with files comes over HTTP. */
export interface UploadForm {
  /** `file`: it is the body itself, read as it comes; `multipart`: it is a part of a form, which is read as a whole. */
  readonly form: 'file' | 'multipart'
  /** The property that the body is, where it is one. */
  readonly property: string
  /** How many bytes files may have, by the properties that say it. */
  readonly limits: ReadonlyMap<string, number>
  /** How many all of these may have together. */
  readonly most: number
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How the files of the resource come, where it takes some. */
    upload?: UploadForm
  }
}

/**
 * @param body what of a request is neither in its path nor in its query
 * @returns undefined where there is no file in it
 */
export function uploadFormOf(body: JsonSchema = {}): UploadForm | undefined {
  const { properties = {} } = body
  const [property = '', other] = Object.keys(properties)
  if (!hasFiles(body)) return undefined
  const isAlone = other === undefined && properties[property]?.file === true
  const limits = new Map<string, number>()
  let most = 0
  for (const [name, { items, maxItems = 1, ...one }] of Object.entries(properties)) {
    const { maxBytes } = (items ?? one) as { maxBytes?: number }
    if (maxBytes === undefined) continue
    limits.set(name, maxBytes)
    most += maxBytes * (items ? (maxItems as number) : 1)
  }
  return { form: isAlone ? 'file' : 'multipart', property, limits, most }
}

/** As {@link uploadFormOf}. @throws {PlinthError} RESOURCE_INVALID where such a request cannot be */
export function uploadOf(
  name: string,
  { request }: AnyDefined,
  { body, ...others }: RequestParts,
): UploadForm | undefined {
  if (!hasFiles(request as JsonSchema)) return undefined
  const refuse = (problem: string) => errors.RESOURCE_INVALID(name, `it takes a file, ${problem}`)
  if (Object.values(others).some(hasFiles)) throw refuse('which a path or query cannot hold')
  if (!body?.properties) throw refuse('and is no object')
  for (const [property, one] of Object.entries(body.properties)) {
    const { file, items } = one as { file?: true; items?: JsonSchema }
    if (hasFiles(one) && !file && !items?.file)
      throw refuse(`which can be a property or an item of a list, not a part of ${property}`)
    if (isObject(one, body))
      throw refuse(`and ${property} is an object, which a form cannot hold; list its properties`)
  }
  const upload = uploadFormOf(body)
  for (const [property, limit] of upload?.limits ?? [])
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw refuse(`and maxBytes of ${property} is ${limit}; expected an integer from 1`)
  return upload
}

/** Has the routes of `scope`, which is theirs alone, take uploads and nothing else. */
export function readUploads(scope: FastifyInstance, { form, property, limits }: UploadForm): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<Buffer>(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const parts = await readForm(request, body)
      for (const [name, limit] of limits)
        for (const one of [parts[name]].flat())
          if (one instanceof File && one.size > limit) throw errors.PAYLOAD_TOO_LARGE(limit)
      return parts
    },
  )
  if (form === 'multipart') return
  scope.addContentTypeParser('*', (request, payload, done) => {
    const limit = limits.get(property) ?? request.routeOptions.bodyLimit
    const file = receive(request, payload, limit)
    if (file.size !== undefined && file.size > limit) done(errors.PAYLOAD_TOO_LARGE(limit))
    else done(null, { [property]: file })
  })
}

/** Nothing at all is an upload without any file, which validation takes or not. */
export const checkUpload: preValidationHookHandler = (request, _reply, done) => {
  request.body ??= {}
  done(problemOfEncoding(request))
}

/** @throws {PlinthError} BAD_REQUEST, UNSUPPORTED_ENCODING */
async function readForm(
  request: FastifyRequest,
  body: Buffer,
): Promise<Record<string, string | File | (string | File)[]>> {
  const encoded = problemOfEncoding(request)
  if (encoded) throw encoded
  const parts = new Map<string, (string | File)[]>()
  try {
    const headers = { 'content-type': String(request.headers['content-type']) }
    for (const [name, value] of await new Response(body, { headers }).formData()) {
      const known = parts.get(name)
      if (known) known.push(value)
      else parts.set(name, [value])
    }
  } catch (cause) {
    throw errors.BAD_REQUEST.with({ cause }, NO_FORM)
  }
  const entries = Array.from(parts, ([name, [first, ...more]]) => [
    name,
    more.length > 0 ? [first, ...more] : first,
  ])
  return Object.fromEntries(entries)
}

const NO_FORM = 'the form is not complete, or not divided by the boundary of its Content-Type'

/** The body as a file, which breaks where it is longer than `limit` bytes. */
function receive({ headers }: FastifyRequest, payload: Readable, limit: number): Upload {
  const stream = Readable.from(chunksOf(payload, limit), { objectMode: false })
  // It breaks with its client, whoever has stopped to listen by then.
  stream.on('error', () => {})
  const { 'content-type': type = 'application/octet-stream', 'content-length': length } = headers
  return { stream, type, ...(length !== undefined && { size: Number(length) }) }
}

/** Who stops to read leaves the connection alone, which the answer needs. @throws {PlinthError} PAYLOAD_TOO_LARGE */
async function* chunksOf(payload: Readable, limit: number): AsyncGenerator<Buffer> {
  let size = 0
  for await (const chunk of payload.iterator({ destroyOnReturn: false })) {
    size += chunk.length
    if (size > limit) throw errors.PAYLOAD_TOO_LARGE(limit)
    yield chunk
  }
}
