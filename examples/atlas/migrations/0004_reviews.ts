import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('audit_log', {
    columns: {
      id: { type: 'bigint', generated: true },
      table_name: { type: 'varchar(64)' },
      row_key: { type: 'varchar(255)' },
      action: { type: 'varchar(6)', values: ['create', 'change', 'delete'] },
      before: { type: 'json', nullable: true },
      after: { type: 'json', nullable: true },
      request_id: { type: 'varchar(128)' },
      created_at: { type: 'datetime' },
      created_by: { type: 'varchar(64)', nullable: true },
    },
    primaryKey: ['id'],
    indexes: [
      { name: 'audit_log_created_at_idx', columns: ['created_at'] },
      { name: 'audit_log_created_by_idx', columns: ['created_by'] },
      { name: 'audit_log_request_id_idx', columns: ['request_id'] },
      { name: 'audit_log_table_name_row_key_idx', columns: ['table_name', 'row_key'] },
    ],
  }),
  createTable('review', {
    columns: {
      id: { type: 'bigint', generated: true },
      city: { type: 'bigint' },
      tenant: { type: 'varchar(30)' },
      stars: { type: 'integer' },
      text: { type: 'varchar(2000)' },
      created_at: { type: 'datetime' },
      created_by: { type: 'varchar(64)', nullable: true },
      updated_at: { type: 'datetime' },
      updated_by: { type: 'varchar(64)', nullable: true },
    },
    primaryKey: ['id'],
    indexes: [
      { name: 'review_city_idx', columns: ['city'] },
      { name: 'review_tenant_city_idx', columns: ['tenant', 'city'] },
    ],
    foreignKeys: [
      {
        name: 'review_city_fkey',
        columns: ['city'],
        table: 'city',
        references: ['id'],
        onDelete: 'cascade',
      },
    ],
  }),
])
