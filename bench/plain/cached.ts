import fastifyRedis from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import { enveloped, notFound, success } from './envelope.ts'
import { ById, City, Nothing } from './schemas.ts'

/** One city from Redis, as a service reads a cached value by hand. */
export async function cachedCities(app: FastifyInstance, { url }: { url: string }): Promise<void> {
  await app.register(fastifyRedis, { url })
  app.get<{ Params: ById }>(
    '/cached/:id',
    { schema: { params: ById, querystring: Nothing, response: { 200: enveloped(City) } } },
    async (request) => {
      const { id } = request.params
      const text = await app.redis.get(`city:${id}`)
      return success(text ? JSON.parse(text) : notFound('city', id), request)
    },
  )
}
