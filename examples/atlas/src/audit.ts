import { auditResources, defineModule } from 'plinth'
import { isAdmin } from './users.ts'

/** Who changed which review. */
export const audit = defineModule({
  prefix: '/audit',
  tags: ['Audit'],
  permissions: isAdmin,
  resources: auditResources(),
})
