import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('__SNAKE___entry', {
    columns: {
      id: { type: 'bigint', generated: true },
      source: { type: 'varchar(50)' },
      text: { type: 'varchar(200)' },
    },
    primaryKey: ['id'],
  }),
])
