import { defineModel, Type } from 'plinth'
import { City } from '../cities/model.ts'

/** What users say of a city, for those of their tenant. */
export const Review = defineModel('review', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    city: City.schema.properties.id,
    tenant: Type.String({ maxLength: 30 }),
    stars: Type.Integer({ minimum: 1, maximum: 5 }),
    text: Type.String({ minLength: 1, maxLength: 2000 }),
  },
  generated: ['id'],
  indexes: [['tenant', 'city']],
  foreignKeys: { city: { references: 'city.id', onDelete: 'cascade' } },
  audit: 'log',
})
