import { defineModule } from 'plinth'
import { isAdmin } from '../users.ts'
import { compute, list } from './resources.ts'

export const statistics = defineModule({
  prefix: '/statistics',
  tags: ['Statistics'],
  permissions: isAdmin,
  resources: { list, compute },
})
