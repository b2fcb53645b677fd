import { defineModule } from 'plinth'
import { list, retrieve } from './resources.ts'

export const countries = defineModule({
  prefix: '/countries',
  tags: ['Countries'],
  resources: { list, retrieve },
})
