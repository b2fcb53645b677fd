import { defineModel, Type } from 'plinth'

/** After a change: bin/manage makemigrations. */
export const __PASCAL__ = defineModel('__SNAKE__', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    name: Type.String({ minLength: 1, maxLength: 100 }),
  },
  generated: ['id'],
})
