import { defineModule } from 'plinth'
import { collect, distances, measure } from './distances.ts'
import { importAll } from './import.ts'
import { nearest } from './nearest.ts'
import { create, list, remove, replace, retrieve, update } from './resources.ts'

export const cities = defineModule({
  prefix: '/cities',
  tags: ['Cities'],
  auth: 'required',
  resources: {
    list,
    nearest,
    retrieve,
    create,
    replace,
    update,
    remove,
    importAll,
    distances,
    measure,
    collect,
  },
})
