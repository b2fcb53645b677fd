import { defineResource, Type } from 'plinth'

/** Later, in a worker: `await __CAMEL__.enqueue({ id })`. */
export const __CAMEL__ = defineResource({
  summary: '__TITLE__',
  expose: false,
  request: Type.Object({ id: Type.Integer() }),
  response: Type.Object({ done: Type.Boolean() }),
  task: { attempts: 5, timeout: 60_000 },
  async perform({ id }, { log, signal }) {
    signal.throwIfAborted()
    log.info({ id }, '__NAME__')
    return { done: true }
  },
})
