import { appendFileSync } from 'node:fs'
import { defineModule, defineResource, defineService } from 'plinth'

const { RECORD = '' } = process.env

const tick = defineResource({
  summary: 'Runs every second; the instants whose tasks have run are lines of the file RECORD',
  method: 'POST',
  // Each second is one, however late the one before is.
  schedule: { cron: '* * * * * *', overlap: 'allow' },
  perform: (_, { requestId }) => {
    appendFileSync(RECORD, `${requestId}\n`)
    return null
  },
})

export default defineService({
  name: 'prove',
  modules: { clock: defineModule({ prefix: '/clock', resources: { tick } }) },
  taskQueues: ['other'],
})
