import { defineModule, modelResources } from 'plinth'
import { or, ownerOf } from 'plinth/auth'
import { isAdmin, tenantOf } from '../users.ts'
import { Review } from './model.ts'

/** A user reads the reviews of the own tenant, and changes the own ones; an admin sees all, and takes away any. */
export const reviews = defineModule({
  prefix: '/reviews',
  tags: ['Reviews'],
  auth: 'required',
  resources: modelResources(Review, {
    only: ['list', 'retrieve', 'create', 'update', 'remove'],
    scope: ({ user }, query) =>
      user.role === 'admin' ? query : query.where('tenant', '=', tenantOf(user)),
    fill: { tenant: ({ user }) => tenantOf(user) },
    fields: { hidden: ['tenant'] },
    permissions: { update: ownerOf(Review), remove: or(ownerOf(Review), isAdmin) },
    list: { filters: { city: 'equals', stars: 'equals' }, search: ['text'] },
  }),
})
