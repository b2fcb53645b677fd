// What ../../server.ts does, as a service of Plinth: it reads JWT_KEY, JWT_AUDIENCE and JWT_ISSUER.
import { defineModule, definePlugin, defineResource, defineService, Type } from 'plinth'
import { addStrategy, definePermission } from 'plinth/auth'
import bearer from 'plinth/plugins/bearer'

declare module 'plinth' {
  interface User {
    role?: string
    tenant?: string
  }
}

const response = Type.Object({ id: Type.String() })
const me = defineResource({
  summary: 'Who asks',
  response,
  perform: (_, { user }) => ({ id: user?.id ?? '' }),
})

const isStaff = definePermission({
  name: 'isStaff',
  reason: 'only staff may do this',
  allows: ({ user }) => user?.role === 'staff',
})
const isOfNorth = definePermission({
  name: 'isOfNorth',
  reason: 'only the north may do this',
  allows: ({ user }) => user?.tenant === 'north',
})
const isLow = definePermission<{ id: number }>({
  name: 'isLow',
  reason: 'the other desks are not for users',
  allows: ({ input }) => input.id <= 10,
})

const desk = defineResource({
  summary: 'Who is at a desk',
  path: '/:id',
  request: Type.Object({ id: Type.Integer() }),
  response,
  permissions: [isStaff, isOfNorth, isLow],
  perform: (_, { user }) => ({ id: user?.id ?? '' }),
})

const badges = new Map([['4711', { id: 'ann', role: 'staff', tenant: 'north' }]])
const badge = definePlugin({
  name: 'badge',
  register: (app) =>
    addStrategy(app, {
      name: 'badge',
      scheme: { type: 'apiKey', in: 'header', name: 'x-badge' },
      authenticate({ headers }) {
        const user = badges.get(String(headers['x-badge']))
        return user && { user }
      },
    }),
})

export default defineService({
  name: 'tokens',
  auth: true,
  plugins: [badge, bearer()],
  modules: {
    me: defineModule({ prefix: '/me', auth: 'required', resources: { me } }),
    desks: defineModule({ prefix: '/desks', resources: { desk } }),
  },
})
