import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import type { Context } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'

/**
 * Sets ETag, Last-Modified and Cache-Control, and evaluates the conditions of a request in the order of
 * RFC 9110, 13.2.2.
 *
 * @returns true where the answer is 304 and the work need not be done
 * @throws {PlinthError} PRECONDITION_FAILED
 */
export async function evaluatePreconditions(
  { definition }: AnyDefined,
  input: unknown,
  context: Context,
): Promise<boolean> {
  const { request, reply } = context as Context & { request: FastifyRequest; reply: FastifyReply }
  const tag = await definition.etag?.(input, context)
  const etag = tag === undefined ? undefined : `"${encodeTag(tag)}"`
  const modified = await definition.lastModified?.(input, context)
  const safe = request.method === 'GET' || request.method === 'HEAD'
  if (hasFailed(request, etag, modified)) throw errors.PRECONDITION_FAILED()
  const unchanged = isUnchanged(request, etag, modified)
  if (unchanged && !safe) throw errors.PRECONDITION_FAILED()
  if (!safe) return false
  if (etag) reply.header('etag', etag)
  if (modified) reply.header('last-modified', modified.toUTCString())
  reply.header('cache-control', 'max-age=0, private')
  if (unchanged) reply.code(304)
  return unchanged
}

/** RFC 9110, 8.8.3: a tag has no blanks and quotes, and headers have no characters of more than a byte. */
function encodeTag(tag: string): string {
  return /^[\x21\x23\x24\x26-\x7e]*$/.test(tag) ? tag : encodeURIComponent(tag.toWellFormed())
}

function hasFailed({ headers }: FastifyRequest, etag?: string, modified?: Date): boolean {
  const ifMatch = headers['if-match']
  if (ifMatch !== undefined) return !matches(ifMatch, false, etag, modified)
  const since = headers['if-unmodified-since']
  return since !== undefined && modified !== undefined && isAfter(modified, since)
}

function isUnchanged(request: FastifyRequest, etag?: string, modified?: Date): boolean {
  const { headers, method } = request
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, true, etag, modified)
  const since = headers['if-modified-since']
  const counts = since !== undefined && (method === 'GET' || method === 'HEAD')
  return (
    counts && modified !== undefined && !Number.isNaN(toSeconds(since)) && !isAfter(modified, since)
  )
}

// A tag may hold commas, so that a list of them cannot simply be split.
const TAG = /(?:W\/)?("[^"]*")/g

/** Whether a list of entity tags names `etag`, weak tags counting or not; `*` is anything that exists. */
function matches(list: string, weak: boolean, etag?: string, modified?: Date): boolean {
  if (list.trim() === '*') return etag !== undefined || modified !== undefined
  const tags = Array.from(list.matchAll(TAG), ([tag, quoted]) => (weak ? quoted : tag))
  return etag !== undefined && tags.includes(etag)
}

// HTTP dates have whole seconds. A date that cannot be read is no condition (RFC 9110, 13.1.3).
function isAfter(modified: Date, date: string): boolean {
  return Math.floor(modified.getTime() / 1000) > toSeconds(date)
}

// `Date.parse` takes much that is no HTTP date, and takes it for local time.
function toSeconds(date: string): number {
  return date.endsWith(' GMT') ? Math.floor(Date.parse(date) / 1000) : Number.NaN
}
