import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest, preValidationHookHandler } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'
import type { JsonSchema } from '../resource/schema.ts'

// By its name a parser could not be added again, in a scope of its own, by who reads webhooks as they come.
const JSON_TYPE = /^application\/json(?:;|$)/

/**
 * Reads JSON bodies of `app` strictly: what is no UTF-8, and text that no database can keep (NUL, half a
 * surrogate pair), is refused instead of being replaced. `__proto__` and `constructor.prototype` are
 * refused by Fastify's own parser, which does the rest.
 */
export function useStrictJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser(['application/json', JSON_TYPE])
  app.addContentTypeParser(
    JSON_TYPE,
    { parseAs: 'buffer' },
    function parseJson(request, body, done) {
      // Many clients name a content type although they send nothing.
      if (body.length === 0) {
        done(null, undefined)
        return
      }
      const encoded = problemOfEncoding(request)
      if (encoded) {
        done(encoded)
        return
      }
      if (!isUtf8(body as Buffer)) {
        done(errors.BAD_REQUEST('the body is not UTF-8'))
        return
      }
      const text = body.toString()
      if (text.includes('\\u') && hasUnstorableEscape(text)) {
        done(errors.BAD_REQUEST('the body has a NUL character or half a surrogate pair'))
        return
      }
      parse(request, text, done)
    },
  )
}

/** An encoding that nothing has decoded on the way here. */
function problemOfEncoding({ headers }: FastifyRequest): PlinthError | undefined {
  const encoding = headers['content-encoding']
  if (encoding === undefined || /^(?:identity)?$/i.test(encoding)) return undefined
  return errors.UNSUPPORTED_ENCODING(encoding)
}

function hasUnstorableEscape(text: string): boolean {
  // An escaped backslash first, so that the text `\\u0000` (a backslash, then u0000) is no escape.
  const unescaped = text.replace(/\\(?:\\|u([\da-fA-F]{4}))/g, (_, hex?: string) =>
    hex ? String.fromCharCode(Number.parseInt(hex, 16)) : '',
  )
  return unescaped.includes('\0') || !unescaped.isWellFormed()
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
 */
export function createBodyCheck(
  name: string,
  schema: JsonSchema | undefined,
  isReadLater: boolean,
): preValidationHookHandler {
  const optional = schema?.type === 'object' && (schema.required ?? []).length === 0
  return function checkBody(request, _reply, done) {
    const encoded = problemOfEncoding(request)
    if (request.body === undefined && optional) request.body = {}
    const refused = request.body !== undefined && !schema && !isReadLater && !isEmpty(request.body)
    const missing = request.body === undefined && schema
    if (encoded) done(encoded)
    else if (refused) done(refuseBody(name, 'is not taken: send no body'))
    else if (missing) done(refuseBody(name, 'is missing: send a JSON body'))
    else done()
  }
}

function refuseBody(name: string, message: string): PlinthError {
  return errors.INVALID_REQUEST.with({ errors: [{ path: '', message }] }, name)
}

function isEmpty(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.keys(body).length === 0
}
