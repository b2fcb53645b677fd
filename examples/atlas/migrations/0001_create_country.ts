import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('country', {
    columns: {
      code: { type: 'char(2)' },
      name: { type: 'varchar(120)' },
      capital: { type: 'varchar(120)', nullable: true },
      region: { type: 'varchar(60)' },
      subregion: { type: 'varchar(60)', nullable: true },
      area: { type: 'double', nullable: true },
      lat: { type: 'double' },
      lon: { type: 'double' },
      flag: { type: 'varchar(16)' },
    },
    primaryKey: ['code'],
  }),
])
