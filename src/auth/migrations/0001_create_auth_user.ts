import { createTable, defineMigration } from '../../database/migration/index.ts'

export default defineMigration([
  createTable('auth_user', {
    columns: {
      id: { type: 'uuid' },
      name: {
        type: { mysql: 'varchar(150) character set utf8mb4 collate utf8mb4_bin', sqlite: 'text' },
      },
      password: { type: 'varchar(255)', nullable: true },
      superuser: { type: 'boolean' },
      disabled: { type: 'boolean' },
      failed_logins: { type: 'integer' },
      locked_until: { type: 'datetime', nullable: true },
      created_at: { type: 'datetime' },
      last_login: { type: 'datetime', nullable: true },
    },
    primaryKey: ['id'],
    unique: [{ name: 'auth_user_name_key', columns: ['name'] }],
  }),
  createTable('auth_token', {
    columns: {
      id: { type: 'uuid' },
      user_id: { type: 'uuid' },
      name: { type: 'varchar(100)' },
      digest: { type: 'varchar(64)' },
      scopes: { type: 'json', nullable: true },
      created_at: { type: 'datetime' },
      expires_at: { type: 'datetime', nullable: true },
      last_used_at: { type: 'datetime', nullable: true },
      revoked_at: { type: 'datetime', nullable: true },
    },
    primaryKey: ['id'],
    indexes: [{ name: 'auth_token_user_id_idx', columns: ['user_id'] }],
    foreignKeys: [
      {
        name: 'auth_token_user_id_fkey',
        columns: ['user_id'],
        table: 'auth_user',
        references: ['id'],
        onDelete: 'cascade',
      },
    ],
  }),
])
