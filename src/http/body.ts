import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest, preValidationHookHandler } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'
import { MISSING_BODY } from '../resource/failure.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import { parseJson } from './parse-json.ts'

// By its name a parser could not be added again, in a scope of its own, by who reads webhooks as they come.
export const JSON_TYPE = /^application\/json(?:;|$)/

/**
 * Reads JSON bodies of `app` strictly: what is no UTF-8 is refused instead of being replaced, the rest is up to
 * {@link parseJson}. In place of Fastify's own parser.
 */
export function useStrictJson(app: FastifyInstance): void {
  app.removeContentTypeParser(['application/json', JSON_TYPE])
  app.addContentTypeParser(
    JSON_TYPE,
    { parseAs: 'buffer' },
    function parseBody(request, body: Buffer, done) {
      let value: unknown
      try {
        value = readJson(request, body)
      } catch (error) {
        done(error as PlinthError)
        return
      }
      done(null, value)
    },
  )
}

/** @throws {PlinthError} UNSUPPORTED_ENCODING, BAD_REQUEST */
function readJson(request: FastifyRequest, body: Buffer): unknown {
  // Many clients name a content type although they send nothing.
  if (body.length === 0) return undefined
  const encoded = problemOfEncoding(request)
  if (encoded) throw encoded
  if (!isUtf8(body)) throw errors.BAD_REQUEST('the body is not UTF-8')
  return parseJson(body.toString())
}

/** An encoding that nothing has decoded on the way here. */
export function problemOfEncoding({ headers }: FastifyRequest): PlinthError | undefined {
  const encoding = headers['content-encoding']
  if (encoding === undefined || /^(?:identity)?$/i.test(encoding)) return undefined
  return errors.UNSUPPORTED_ENCODING(encoding)
}

/** Whether something comes behind the headers of a request: in HTTP/2 no header has to say so. */
export function sendsBody({ headers, raw }: Pick<FastifyRequest, 'headers' | 'raw'>): boolean {
  const { stream } = raw as { stream?: { readonly endAfterHeaders: boolean } }
  if (stream) return !stream.endAfterHeaders
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
}

/**
 * Refuses a URL with NUL or with percent-encoding that is no UTF-8, which a decoder would replace.
 *
 * @throws {PlinthError} BAD_REQUEST
 */
export function assertReadableUrl(request: FastifyRequest): void {
  const url = request.raw.url ?? ''
  if (!url.includes('%')) return
  if (url.includes('%00')) throw errors.BAD_REQUEST('the URL has a NUL character')
  try {
    decodeURIComponent(url)
  } catch (cause) {
    throw errors.BAD_REQUEST.with({ cause }, 'the URL is not properly percent-encoded')
  }
}

/**
 * Makes the hook that looks whether there is a body where `schema` wants one, and none where there is no schema.
 * To validators an absent one looks like `null`; it is an empty one where nothing in it is required.
 *
 * @param isReadLater whether the resource reads one itself, where there is no schema
 * @returns `undefined` where the validator refuses an absent one, and only the JSON parser has read one: it looks, too
 */
export function createBodyCheck(
  name: string,
  schema: JsonSchema | undefined,
  isReadLater: boolean,
): preValidationHookHandler | undefined {
  const optional = schema?.type === 'object' && (schema.required ?? []).length === 0
  const refusesNull = schema?.type === 'array' || (schema?.type === 'object' && !optional)
  if (refusesNull && !isReadLater) return undefined
  return function checkBody(request, _reply, done) {
    const encoded = problemOfEncoding(request)
    if (request.body === undefined && optional) request.body = {}
    const refused = request.body !== undefined && !schema && !isReadLater && !isEmpty(request.body)
    const missing = request.body === undefined && schema
    if (encoded) done(encoded)
    else if (refused) done(refuseBody(name, 'is not taken: send no body'))
    else if (missing) done(refuseBody(name, MISSING_BODY))
    else done()
  }
}

function refuseBody(name: string, message: string): PlinthError {
  return errors.INVALID_REQUEST.with({ errors: [{ path: '', message }] }, name)
}

function isEmpty(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.keys(body).length === 0
}
