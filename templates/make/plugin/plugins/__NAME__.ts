import { definePlugin, Type } from 'plinth'

declare module 'fastify' {
  interface FastifyInstance {
    __CAMEL__: { greeting: string }
  }
}

export const __CAMEL__ = definePlugin({
  name: '__NAME__',
  env: Type.Object({
    __UPPER___GREETING: Type.String({
      default: 'Hello',
      description: 'What __NAME__ says.',
    }),
  }),
  decorators: ['__CAMEL__'],
  register(app, _options, { env }) {
    app.decorate('__CAMEL__', { greeting: env.__UPPER___GREETING })
  },
})
