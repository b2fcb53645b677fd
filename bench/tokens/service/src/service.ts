// What ../../server.ts does, as a service of Plinth: it reads JWT_KEY, JWT_AUDIENCE and JWT_ISSUER.
import type { onRequestAsyncHookHandler } from 'fastify'
import { defineModule, defineResource, defineService, Type } from 'plinth'
import bearer from 'plinth/plugins/bearer'

const me = defineResource({
  summary: 'Who asks',
  response: Type.Object({ id: Type.String() }),
  perform: (_, { user }) => ({ id: user?.id ?? '' }),
})

const onRequest: onRequestAsyncHookHandler = (request, reply) =>
  request.server.auth.required(request, reply)

export default defineService({
  name: 'tokens',
  plugins: [bearer()],
  modules: { me: defineModule({ prefix: '/me', hooks: { onRequest }, resources: { me } }) },
})
