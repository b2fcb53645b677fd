import { defineService, type Tables } from 'plinth'
import { City } from './cities/model.ts'
import { cities } from './cities/module.ts'
import { Country } from './countries/model.ts'
import { countries } from './countries/module.ts'
import { Statistic } from './statistics/model.ts'
import { statistics } from './statistics/module.ts'

const models = [Country, City, Statistic]

declare module 'plinth' {
  interface DatabaseTables extends Tables<typeof models> {}
}

export default defineService({
  name: 'atlas',
  version: '0.1.0',
  description: "The world's countries and cities.",
  models,
  modules: { cities, countries, statistics },
})
