import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { discard, type Sending, type StreamSchema, sendingOf } from '../resource/stream.ts'

/**
 * What is sent of a stream that `perform` has returned, with the headers that say what it is: all of it, the part that
 * was asked for (RFC 9110, 14), or to a HEAD nothing, for which it is not read.
 *
 * @throws {PlinthError} RANGE_NOT_SATISFIABLE
 */
export function sendStream(
  value: object,
  { response }: AnyDefined,
  request: FastifyRequest,
  reply: FastifyReply,
): object {
  // Streams of the web say nothing of themselves, and a `Response` all of it.
  if (!(value instanceof Readable)) return value
  // It may break while hooks are waited for; who reads it after them is told then.
  value.on('error', () => {})
  const { contentTypes: [type] = [], ranges } = response as StreamSchema
  const { headers, size, part } = sendingOf(value) ?? ({ headers: {} } as Sending)
  for (const [name, header] of Object.entries({
    ...(type && { 'content-type': type }),
    ...headers,
  }))
    if (!reply.hasHeader(name)) reply.header(name, withCharset(name, header))
  const isParted = ranges && size !== undefined && part !== undefined && reply.statusCode === 200
  if (isParted) reply.header('accept-ranges', 'bytes')
  if (isParted && request.method === 'GET') {
    const range = rangeOf(request, reply, size)
    if (range) {
      discard(value)
      if (range === 'none') {
        const asked = String(request.headers.range)
        throw errors.RANGE_NOT_SATISFIABLE.with({ data: { size } }, asked, size)
      }
      const { start, end } = range
      reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${size}`)
      reply.header('content-length', end - start)
      return part(start, end)
    }
  }
  if (size !== undefined) reply.header('content-length', size)
  if (request.method !== 'HEAD') return value
  discard(value)
  return Readable.from([])
}

// What is text and says nothing else is UTF-8 here; browsers would guess.
function withCharset(name: string, header: string): string {
  const isText = name === 'content-type' && /^text\/[^;]+$/i.test(header)
  return isText ? `${header}; charset=utf-8` : header
}

/** From the byte `start` on, before `end`. */
interface Range {
  start: number
  end: number
}

/**
 * The part of `size` bytes that a request asks for; `undefined`: all of it. Of several ranges it is all, too, which is less
 * to send than many that overlap.
 */
function rangeOf(
  request: FastifyRequest,
  reply: FastifyReply,
  size: number,
): Range | 'none' | undefined {
  const { range, 'if-range': condition } = request.headers
  const [, from, to] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(range ?? '') ?? []
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined
  if (condition !== undefined && !isUnchanged(condition as string, reply)) return undefined
  if (from === '') {
    const start = Math.max(0, size - Number(to))
    return start < size ? { start, end: size } : 'none'
  }
  const start = Number(from)
  const last = to === '' ? size - 1 : Number(to)
  // It is no range then (RFC 9110, 14.1.1).
  if (last < start && to !== '') return undefined
  return start < size ? { start, end: Math.min(last + 1, size) } : 'none'
}

/** RFC 9110, 13.1.5: the same tag, which is no weak one, or exactly the same date. */
function isUnchanged(condition: string, reply: FastifyReply): boolean {
  const known = condition.trim().startsWith('"') ? 'etag' : 'last-modified'
  return reply.getHeader(known) === condition.trim()
}
