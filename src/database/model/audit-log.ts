import { Type } from 'typebox'
import { defineModel } from './define.ts'

const image = (description: string) =>
  Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description }))

/**
 * What was done to the rows of models with `audit: 'log'`: a service that has one lists this model beside it. Who did it, and when, are
 * its audit columns.
 */
export const AuditLog = defineModel('audit_log', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    table_name: Type.String({ maxLength: 64 }),
    row_key: Type.String({ maxLength: 255, description: 'As in a path: `7`, `paris/42`' }),
    action: Type.Enum(['create', 'change', 'delete']),
    before: image('What was changed, as it was; of a row that was deleted all of it'),
    after: image('What was changed, as it is then; of a new row all of it'),
    request_id: Type.String({ maxLength: 128 }),
  },
  generated: ['id'],
  indexes: [['table_name', 'row_key'], ['created_by'], ['created_at'], ['request_id']],
  audit: ['created_at', 'created_by'],
})
