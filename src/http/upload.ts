import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest, preValidationHookHandler } from 'fastify'
import { errors } from '../errors.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { hasFiles } from '../resource/stream.ts'
import { problemOfType } from '../schema/file-type.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import type { Upload } from '../upstream/body.ts'
import { problemOfEncoding } from './body.ts'
import { checkBytes, createFormReader, type FileRule, type FormRules } from './form-reader.ts'
import { sweepReceived } from './received-files.ts'
import { isObject, type RequestParts } from './request.ts'

/** How a request with files comes over HTTP. */
export interface UploadForm extends FormRules {
  /** `file`: it is the body itself, read as it comes; `multipart`: it is a part of a form, whose files are on the disk before it is performed. */
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

/** Fastify's own. */
const BODY_LIMIT = 1_048_576

/**
 * @param body what of a request is neither in its path nor in its query
 * @param bodyLimit bytes that a request without files may have
 * @returns undefined where there is no file in it
 */
export function uploadFormOf(
  body: JsonSchema = {},
  bodyLimit = BODY_LIMIT,
  settings: AnyDefined['definition']['upload'] = {},
): UploadForm | undefined {
  const { properties = {} } = body
  const [property = '', other] = Object.keys(properties)
  if (!hasFiles(body)) return undefined
  const isAlone = other === undefined && properties[property]?.file === true
  const files = new Map<string, FileRule>()
  let most = bodyLimit
  for (const [name, { items, maxItems, ...one }] of Object.entries(properties)) {
    const { file, maxBytes, types } = (items ?? one) as { file?: true } & FileRule
    if (!file) continue
    files.set(name, { maxBytes, types, most: items ? ((maxItems ?? MANY) as number) : 1 })
    most += (maxBytes ?? 0) * (items ? ((maxItems ?? 1) as number) : 1)
  }
  return {
    form: isAlone ? 'file' : 'multipart',
    ...{ property, files, texts: bodyLimit },
    most: settings.maxBytes ?? most,
    folder: settings.folder,
  }
}

/** How many files a list may have that does not say it. */
const MANY = 1000

/** As {@link uploadFormOf}. @throws {PlinthError} RESOURCE_INVALID where such a request cannot be */
export function uploadOf(
  name: string,
  { request, definition }: AnyDefined,
  { body, ...others }: RequestParts,
  bodyLimit: number | undefined,
): UploadForm | undefined {
  const invalid = (problem: string) => errors.RESOURCE_INVALID(name, problem)
  const { upload: settings } = definition
  if (!hasFiles(request as JsonSchema)) {
    if (settings) throw invalid('it has upload, and no file() in its request')
    return undefined
  }
  const refuse = (problem: string) => invalid(`it takes a file, ${problem}`)
  if (Object.values(others).some(hasFiles)) throw refuse('which a path or query cannot hold')
  if (!body?.properties) throw refuse('and is no object')
  for (const [property, one] of Object.entries(body.properties)) {
    const { file, items } = one as { file?: true; items?: JsonSchema }
    if (hasFiles(one) && !file && !items?.file)
      throw refuse(`which can be a property or an item of a list, not a part of ${property}`)
    if (isObject(one, body))
      throw refuse(`and ${property} is an object, which a form cannot hold; list its properties`)
  }
  const upload = uploadFormOf(body, bodyLimit, settings)
  const assertLimit = (what: string, limit: number | undefined) => {
    if (limit !== undefined && (!Number.isSafeInteger(limit) || limit < 1))
      throw refuse(`and ${what} is ${limit}; expected an integer from 1`)
  }
  for (const [property, { maxBytes }] of upload?.files ?? [])
    assertLimit(`maxBytes of ${property}`, maxBytes)
  assertLimit('upload.maxBytes', settings?.maxBytes)
  return upload
}

/**
 * Has the routes of `scope`, which is theirs alone, take uploads and nothing else.
 *
 * @throws {PlinthError} PACKAGE_MISSING
 */
export async function readUploads(scope: FastifyInstance, upload: UploadForm): Promise<void> {
  const { form, property, files, most } = upload
  sweepReceived(upload.folder)
  const readForm = await createFormReader(upload)
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(
    'multipart/form-data',
    async (request: FastifyRequest, payload: Readable) => {
      const problem = problemOfEncoding(request) ?? problemOfLength(request, most)
      if (problem) throw problem
      return await readForm(request, payload)
    },
  )
  if (form === 'multipart') return
  const { maxBytes = most, types } = files.get(property) as FileRule
  const limit = Math.min(maxBytes, most)
  scope.addContentTypeParser('*', (request, payload, done) => {
    const { 'content-type': type = 'application/octet-stream' } = request.headers
    const refuse = (message: string) => {
      const { resource = 'this route' } = request.routeOptions.config
      return errors.INVALID_REQUEST.with({ errors: [{ path: `/${property}`, message }] }, resource)
    }
    const problem = problemOfType(types, type)
    const refused = problem ? refuse(problem) : problemOfLength(request, limit)
    const rule = { maxBytes: limit, types, type, refuse }
    if (refused) done(refused)
    else done(null, { [property]: receive(request, checkBytes(chunksOf(payload), rule), type) })
  })
}

function problemOfLength({ headers }: FastifyRequest, limit: number): Error | undefined {
  return Number(headers['content-length'] ?? 0) > limit
    ? errors.PAYLOAD_TOO_LARGE(limit)
    : undefined
}

/** Nothing at all is an upload without any file, which validation takes or not. */
export const checkUpload: preValidationHookHandler = (request, _reply, done) => {
  request.body ??= {}
  done(problemOfEncoding(request))
}

/** The body as a file. */
function receive({ headers }: FastifyRequest, chunks: AsyncIterable<Buffer>, type: string): Upload {
  const stream = Readable.from(chunks, { objectMode: false })
  // It breaks with its client, whoever has stopped to listen by then.
  stream.on('error', () => {})
  const { 'content-length': length } = headers
  return { stream, type, ...(length !== undefined && { size: Number(length) }) }
}

/** Who stops to read leaves the connection alone, which the answer needs. */
function chunksOf(payload: Readable): AsyncIterable<Buffer> {
  return payload.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
}
