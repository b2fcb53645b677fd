import { defineModel, Type, timestamp } from 'plinth'

/** What was found out about all cities, one row for each day. */
export const Statistic = defineModel('statistic', {
  columns: {
    day: Type.String({ format: 'date' }),
    countries: Type.Integer({ minimum: 0, description: 'How many countries have a city' }),
    cities: Type.Integer({ minimum: 0 }),
    // No maximum: the sum of what all cities may have has none.
    population: Type.Integer({ minimum: 0, description: 'How many people live in them' }),
    computed_at: timestamp(),
  },
  primaryKey: ['day'],
})
