import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('statistic', {
    columns: {
      day: { type: 'date' },
      countries: { type: 'bigint' },
      cities: { type: 'bigint' },
      population: { type: 'bigint' },
      computed_at: { type: 'datetime' },
    },
    primaryKey: ['day'],
  }),
])
