import { defineModel, Type } from 'plinth'

/** One schema for the table, the row, the API and the migration. After a change: bin/manage makemigrations. */
export const Note = defineModel('note', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    title: Type.String({ minLength: 1, maxLength: 200 }),
    text: Type.String({ maxLength: 5000, default: '' }),
  },
  generated: ['id'],
  indexes: [['title']],
  audit: true,
})
