import type { FastifyReply } from 'fastify'
import type { Found } from '../cache/types.ts'
import { toMilliseconds } from '../duration.ts'
import type { CachePolicy } from '../resource/cache-policy.ts'
import { steady } from '../steady.ts'

/** Who is another user by them: what each has for itself is not for who sends others. */
const CREDENTIALS = ['authorization', 'cookie']

/**
 * Tells clients and proxies how long they may keep a result of the cache, where its policy says so: `Cache-Control`, `Age` and `Vary`
 * (RFC 9111, 5). It has been fresh for the seconds of `Age` already, so that theirs ends when that of the cache does.
 */
export function tellCaching(
  reply: FastifyReply,
  { stored, fresh, until }: Found,
  { http, perUser = true }: Pick<CachePolicy, 'http' | 'perUser'>,
): void {
  if (http === undefined) return
  const { scope, maxAge, vary = [] } = typeof http === 'string' ? { scope: http } : http
  const names = [...(perUser === false ? [] : CREDENTIALS), ...vary]
  if (names.length > 0)
    reply.header('vary', [reply.getHeader('vary') ?? [], ...names].flat().join(', '))
  if (fresh === undefined || until === undefined) {
    reply.header('cache-control', 'no-store')
    return
  }
  const most = maxAge === undefined ? Number.POSITIVE_INFINITY : toMilliseconds(maxAge, 'maxAge')
  const stale = inSeconds(until - fresh)
  const control = [
    scope,
    `max-age=${inSeconds(Math.min(fresh - stored, most))}`,
    ...(stale > 0 ? [`stale-while-revalidate=${stale}`] : []),
  ]
  reply.header('cache-control', control.join(', '))
  reply.header('age', String(inSeconds(Math.max(0, steady.now() - stored))))
}

const inSeconds = (milliseconds: number): number => Math.floor(milliseconds / 1000)
