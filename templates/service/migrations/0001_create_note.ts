import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('note', {
    columns: {
      id: { type: 'bigint', generated: true },
      title: { type: 'varchar(200)' },
      text: { type: 'varchar(5000)', default: '' },
      created_at: { type: 'datetime' },
      created_by: { type: 'varchar(64)', nullable: true },
      updated_at: { type: 'datetime' },
      updated_by: { type: 'varchar(64)', nullable: true },
    },
    primaryKey: ['id'],
    indexes: [{ name: 'note_title_idx', columns: ['title'] }],
  }),
])
