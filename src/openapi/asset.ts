import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Bytes that stay the same as long as the process lives. */
export interface Asset {
  readonly type: string
  readonly body: Buffer
  readonly etag: string
}

/** An asset with the media type `type`; its entity tag is a digest of `content`. */
export function createAsset(type: string, content: string | Buffer): Asset {
  const body = typeof content === 'string' ? Buffer.from(content) : content
  return { type, body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` }
}

/** Sends `asset`, or 304 where the client has it already; a client asks again each time. */
export function sendAsset(
  { type, body, etag }: Asset,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  reply.header('etag', etag).header('cache-control', 'no-cache')
  // `includes`: the header is a list, and a proxy that compresses makes the tag a weak one.
  if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send()
  return reply.type(type).send(body)
}
