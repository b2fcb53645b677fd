import { defineModule, modelResources } from 'plinth'
// if auth
import { ownerOf } from 'plinth/auth'
// end
import { count } from './count.ts'
import { Note } from './model.ts'
// if tasks
import { report } from './report.ts'
// end

export const notes = defineModule({
  prefix: '/notes',
  tags: ['Notes'],
  // if auth
  auth: 'required',
  // end
  resources: {
    count,
    // if tasks
    report,
    // end
    ...modelResources(Note, {
      only: ['list', 'retrieve', 'create', 'update', 'remove'],
      list: { search: ['title', 'text'], order: ['title', 'id'] },
      // if auth
      auth: { list: 'public', retrieve: 'public' },
      permissions: { update: ownerOf(Note), remove: ownerOf(Note) },
      // end
    }),
  },
})
