import { defineService } from 'plinth'
import { cities } from './cities/module.ts'
import { countries } from './countries/module.ts'

export default defineService({
  name: 'atlas',
  version: '0.1.0',
  description: "The world's countries and cities.",
  modules: { cities, countries },
})
