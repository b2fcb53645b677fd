import { defineModule } from 'plinth'
import { compute, list } from './resources.ts'

export const statistics = defineModule({
  prefix: '/statistics',
  tags: ['Statistics'],
  resources: { list, compute },
})
