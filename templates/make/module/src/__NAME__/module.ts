import { defineModule, modelResources } from 'plinth'
// if auth
import { ownerOf } from 'plinth/auth'
// end
import { __ONE_PASCAL__ } from './model.ts'

export const __CAMEL__ = defineModule({
  prefix: '/__NAME__',
  tags: ['__TITLE__'],
  // if auth
  auth: 'required',
  // end
  resources: {
    ...modelResources(__ONE_PASCAL__, {
      only: ['list', 'retrieve', 'create', 'update', 'remove'],
      list: { search: ['name'] },
      // if auth
      permissions: { update: ownerOf(__ONE_PASCAL__), remove: ownerOf(__ONE_PASCAL__) },
      // end
    }),
  },
})
