import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'

/**
 * Reads JSON bodies of `app` strictly: what is no UTF-8, and text that no database can keep (NUL, half a
 * surrogate pair), is refused instead of being replaced. `__proto__` and `constructor.prototype` are
 * refused by Fastify's own parser, which does the rest.
 */
export function useStrictJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  // Fastify reads text/plain, too, which no resource takes.
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    function parseJson(request, body, done) {
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
