import { defineService, Type } from 'plinth'
import { journeys } from './journeys.ts'

declare module 'plinth' {
  interface ServiceConfig {
    ATLAS_URL: string
  }
}

export default defineService({
  name: 'travel',
  version: '0.1.0',
  description: 'Where to stop between the cities that Atlas knows.',
  env: Type.Object({
    ATLAS_URL: Type.String({
      format: 'uri',
      default: 'http://127.0.0.1:8000',
      description: 'Where Atlas is.',
    }),
  }),
  modules: { journeys },
})
