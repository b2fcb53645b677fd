import { column, decimal, defineModel, Type, timestamp } from 'plinth'

/** With a column of each kind. */
export const Customer = defineModel('shop_customer', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ minLength: 1, maxLength: 40 }),
    email: Type.String({ format: 'email', maxLength: 80 }),
    level: Type.Enum(['gold', 'plain']),
    code: Type.String({ pattern: '^[A-Z]{2}-\\d{3}$', maxLength: 6 }),
    key: Type.String({ format: 'uuid' }),
    since: timestamp(),
    born: Type.Optional(Type.String({ format: 'date' })),
    wakes: Type.String({ format: 'time' }),
    credit: decimal(8, 2),
    rating: Type.Number({ minimum: 0, maximum: 5 }),
    points: column(Type.Integer(), { type: 'smallint' }),
    active: Type.Boolean(),
    note: Type.Union([Type.String(), Type.Null()]),
    tags: Type.Array(Type.String({ maxLength: 9 }), { maxItems: 3 }),
    place: Type.Object({ lat: Type.Number(), lon: Type.Optional(Type.Number()) }),
  },
  generated: ['id'],
  unique: [['email']],
  audit: true,
})

export const Order = defineModel('shop_order', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    customer: Type.Integer(),
    total: Type.Integer({ minimum: 1, maximum: 1000 }),
    state: Type.String({ maxLength: 10 }),
  },
  generated: ['id'],
  foreignKeys: { customer: { references: 'shop_customer.id', onDelete: 'cascade' } },
  audit: ['created_at', 'created_by'],
})
