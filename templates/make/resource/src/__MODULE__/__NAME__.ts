import { defineResource, Type } from 'plinth'

export const __CAMEL__ = defineResource({
  summary: '__TITLE__',
  method: 'POST',
  path: '/__NAME__',
  request: Type.Object({ text: Type.String({ maxLength: 200 }) }),
  response: Type.Object({ length: Type.Integer() }),
  async perform({ text }) {
    return { length: text.length }
  },
})
