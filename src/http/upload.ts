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
  return { form: isAlone ? 'file' : 'multipart', property }
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
  return uploadFormOf(body)
}

/** Has the routes of `scope`, which is theirs alone, take uploads and nothing else. */
export function readUploads(scope: FastifyInstance, { form, property }: UploadForm): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser<Buffer>('multipart/form-data', { parseAs: 'buffer' }, readForm)
  if (form === 'multipart') return
  scope.addContentTypeParser('*', (request, payload, done) =>
    done(null, { [property]: receive(request, payload) }),
  )
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

/** The body as a file. Who stops to read it leaves the connection alone, which the answer needs. */
function receive({ headers }: FastifyRequest, payload: Readable): Upload {
  const chunks = payload.iterator({ destroyOnReturn: false })
  const stream = Readable.from(chunks, { objectMode: false })
  // It breaks with its client, whoever has stopped to listen by then.
  stream.on('error', () => {})
  const { 'content-type': type = 'application/octet-stream', 'content-length': length } = headers
  return { stream, type, ...(length !== undefined && { size: Number(length) }) }
}
