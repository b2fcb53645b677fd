import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from '../src/service.ts'
import { answer } from './answer.ts'
import service, { performed } from './cache-service.ts'

// A server; it also works on tasks, where it is told to.

const app = await createApp(service, { logger: false })
const url = await app.listen({ host: '127.0.0.1', port: 0 })

export interface Asked {
  performed: number
  failed: number
}

answer({
  url: () => url,
  ask,
  store: (key: string) => app.cache.set(key, 1, { ttl: 60_000 }),
  work: () =>
    app.tasks.work({ queues: ['default'], concurrency: 1, schedules: false }).then(() => {}),
  run,
})

/** Requests an item many times at once, each on a connection of its own. */
async function ask({ key, times }: { key: string; times: number }): Promise<Asked> {
  const before = performed.times
  const requests = Array.from({ length: times }, async () => {
    const response = await fetch(`${url}/items/${key}`)
    await response.text()
    return response.ok
  })
  const failed = (await Promise.all(requests)).filter((ok) => !ok).length
  return { performed: performed.times - before, failed }
}

/** Enqueues a task, as soon as that can be done, and waits until it has run. */
async function run(): Promise<void> {
  const signal = AbortSignal.timeout(60_000)
  for (;;) {
    try {
      const task = await app.resources.items.note.enqueue({})
      return void (await task.result({ signal }))
    } catch (error) {
      signal.throwIfAborted()
      if ((error as { code?: string }).code !== 'TASKS_UNAVAILABLE') throw error
      await sleep(20)
    }
  }
}
