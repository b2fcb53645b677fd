import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds that a task may take, from the first try to enqueue it. */
const PATIENCE = 120_000

/**
 * Has a server of `cache-service.ts` enqueue a task, as soon as it can, and waits until a worker has run it: what the proofs of outages
 * ask for.
 *
 * @throws {Error} where it has not run within two minutes, or fails
 */
export async function runTask(url: string): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE)
  const headers = { 'x-async-task': 'true' }
  const { task_id } = await ask(`${url}/items`, { method: 'POST', headers, signal })
  for (;;) {
    const { state } = await ask(`${url}/tasks/${task_id}`, { signal })
    if (state === 'succeeded') return
    if (state === 'failed') throw new Error(`the task ${task_id} has failed`)
    await sleep(20)
  }
}

/** What is answered, once it is not that Redis is away. */
async function ask(url: string, init: RequestInit): Promise<Record<string, unknown>> {
  for (;;) {
    const response = await fetch(url, init)
    const { code, data } = JSON.parse(await response.text())
    if (response.ok) return data
    if (code !== 'TASKS_UNAVAILABLE') throw new Error(`${url} answers ${response.status} ${code}`)
    await sleep(20)
  }
}
