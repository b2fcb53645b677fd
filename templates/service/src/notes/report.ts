import { defineResource, Type } from 'plinth'
import { count } from './count.ts'

/** A worker runs it each night; `await report.enqueue()` has it run now. */
export const report = defineResource({
  summary: 'Tell the log how many notes there are',
  expose: false,
  response: Type.Object({ notes: Type.Integer() }),
  schedule: { cron: '0 3 * * *', missed: 'once' },
  task: { attempts: 5, timeout: 60_000 },
  async perform(_, { log }) {
    const { notes } = await count()
    log.info({ notes }, 'notes')
    return { notes }
  },
})
