import { AuditLog } from '../database/model/audit-log.ts'
import type { ModelAccess } from './model-access.ts'
import { modelResources } from './model-resources.ts'

/**
 * The resources that read the audit log: `list`, by table, key, user, action, request and time (`order=-id`: the newest first), and
 * `retrieve`.
 * `defineModule({ prefix: '/audit', resources: auditResources() })`. Whoever may call them reads what was changed in every table.
 */
export function auditResources(options: ModelAccess<typeof AuditLog> = {}) {
  return modelResources(AuditLog, {
    ...options,
    only: ['list', 'retrieve'],
    noun: 'audit entry',
    list: {
      filters: {
        table: { operator: 'equals', column: 'table_name' },
        key: { operator: 'equals', column: 'row_key' },
        user: { operator: 'equals', column: 'created_by' },
        action: 'equals',
        request: { operator: 'equals', column: 'request_id' },
        since: { operator: 'from', column: 'created_at' },
        until: { operator: 'to', column: 'created_at' },
      },
      order: ['id'],
      count: 'optional',
    },
  })
}
