import Fastify from 'fastify'
import redis from '../../plugins/redis.ts'
import session from '../../plugins/session.ts'

// A process that has sessions in a Redis, says on which port it listens, and ends with its input.
const [url = '', secret = ''] = process.argv.slice(2)
const app = Fastify()
await app.register(redis, { url, commandTimeout: 10_000 })
await app.register(session, { secret })
app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
app.post('/logout', async (_, reply) => {
  await reply.logout()
  return 'out'
})
console.log(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
process.stdin.on('end', () => app.close()).resume()
