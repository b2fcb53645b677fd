import { AuditLog, defineService, type Tables } from 'plinth'
import admin from 'plinth/plugins/admin'
import { audit } from './audit.ts'
import { City } from './cities/model.ts'
import { cities } from './cities/module.ts'
import { create, remove, update } from './cities/resources.ts'
import { Country } from './countries/model.ts'
import { countries } from './countries/module.ts'
import { Review } from './reviews/model.ts'
import { reviews } from './reviews/module.ts'
import { Statistic } from './statistics/model.ts'
import { statistics } from './statistics/module.ts'
import { tokens } from './users.ts'

const models = [Country, City, Statistic, Review, AuditLog]

declare module 'plinth' {
  interface DatabaseTables extends Tables<typeof models> {}
}

export default defineService({
  name: 'atlas',
  version: '0.1.0',
  description: "The world's countries and cities, and what users say of them.",
  models,
  modules: { cities, countries, statistics, reviews, audit },
  // What they change takes away what is cached of it.
  plugins: [tokens, admin({ tables: { city: { create, update, remove } } })],
  auth: true,
  // Tokens are all that is known of users. Tasks do what any user may: a role is only in the token.
  loadUser: (id) => ({ id }),
  processes: {
    web: { command: 'manage serve --workers auto', cpu: 2, memory: 1024 },
    worker: 'manage worker',
    release: 'manage migrate',
  },
  check: {
    accept: {
      'rate-limits-off': 'An example: whoever runs it decides how much is too much',
    },
  },
})
