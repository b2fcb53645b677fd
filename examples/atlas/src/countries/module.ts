import { defineModule } from 'plinth'
import { list, retrieve, totals } from './resources.ts'

export const countries = defineModule({
  prefix: '/countries',
  tags: ['Countries'],
  auth: 'public',
  resources: { list, retrieve, totals },
})
