import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from '../src/index.ts'

const { WORK = '0' } = process.env

/** How often `perform` ran in this process. */
export const performed = { times: 0 }

const retrieve = defineResource({
  summary: 'Something that takes WORK ms to compute',
  path: '/:key',
  request: Type.Object({ key: Type.String() }),
  response: Type.Object({ key: Type.String() }),
  cache: { ttl: 60_000, perUser: false },
  async perform({ key }) {
    performed.times += 1
    await sleep(Number(WORK))
    return { key }
  },
})

const note = defineResource({ summary: 'A task', method: 'POST', perform: () => null })

export default defineService({
  name: 'prove',
  modules: { items: defineModule({ prefix: '/items', resources: { retrieve, note } }) },
})
