import { defineModule, defineResource, defineService } from '../src/index.ts'

/** The instants whose tasks have run in this process. */
export const ticks: string[] = []

const tick = defineResource({
  summary: 'Runs every second',
  method: 'POST',
  // Each second is one, however late the one before is.
  schedule: { cron: '* * * * * *', overlap: 'allow' },
  perform: (_, { requestId }) => {
    ticks.push(requestId)
    return null
  },
})

export default defineService({
  name: 'prove',
  modules: { clock: defineModule({ prefix: '/clock', resources: { tick } }) },
})
