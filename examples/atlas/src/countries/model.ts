import { column, defineModel, Type } from 'plinth'

export const Country = defineModel('country', {
  columns: {
    code: column(Type.String({ pattern: '^[A-Z]{2}$', description: 'ISO 3166-1 alpha-2' }), {
      type: 'char(2)',
    }),
    name: Type.String({ maxLength: 120 }),
    capital: Type.Optional(Type.String({ maxLength: 120 })),
    region: Type.String({ maxLength: 60 }),
    subregion: Type.Optional(Type.String({ maxLength: 60 })),
    area: Type.Optional(Type.Number({ description: 'km²' })),
    lat: Type.Number({ description: 'Degrees north' }),
    lon: Type.Number({ description: 'Degrees east' }),
    flag: Type.String({ maxLength: 16, description: 'As an emoji' }),
  },
  primaryKey: ['code'],
})
