import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineModule, defineResource, defineService, Type } from 'plinth'

const { WORK = '0', RECORD } = process.env

const retrieve = defineResource({
  summary: 'Something that takes WORK ms to compute; who did so when is a line of the file RECORD',
  path: '/:key',
  request: Type.Object({ key: Type.String() }),
  response: Type.Object({ key: Type.String() }),
  cache: { ttl: 60_000, perUser: false },
  async perform({ key }) {
    if (RECORD) appendFileSync(RECORD, `${key} ${process.pid} ${Date.now()}\n`)
    await sleep(Number(WORK))
    return { key }
  },
})

const note = defineResource({
  summary: 'A task',
  method: 'POST',
  async: true,
  perform: () => null,
})

export default defineService({
  name: 'prove',
  modules: { items: defineModule({ prefix: '/items', resources: { retrieve, note } }) },
})
