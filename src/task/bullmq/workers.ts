import type { Redis } from 'ioredis'
import { queueOf } from '../id.ts'
import type { Working, WorkOptions } from '../types.ts'
import { cancelChannel } from './cancel.ts'
import { disconnect } from './connection.ts'
import { QueueWorker, type WorkerSettings } from './worker.ts'

/** All that works in this process; one connection more hears of what is cancelled. */
export class Workers {
  readonly #settings: WorkerSettings
  readonly #hearing: Redis
  readonly #byQueue = new Map<string, Set<QueueWorker>>()

  constructor(settings: WorkerSettings, hearing: Redis) {
    this.#settings = settings
    this.#hearing = hearing
    hearing.subscribe(cancelChannel(settings.prefix)).catch(settings.onError)
    hearing.on('message', (_channel, id) => this.#cancel(id))
    hearing.on('ready', () => this.#recheck())
  }

  work(options: WorkOptions): Working {
    const queues = [...new Set(options.queues)]
    const workers = queues.map((queue) => {
      const worker = new QueueWorker(queue, options, this.#settings)
      this.#of(queue).add(worker)
      return [queue, worker] as const
    })
    const stop = async (timeout: number) => {
      const left = await Promise.all(workers.map(([, worker]) => worker.stop(timeout)))
      for (const [queue, worker] of workers) this.#of(queue).delete(worker)
      return { handedBack: left.reduce((sum, count) => sum + count, 0) }
    }
    let stopped: ReturnType<typeof stop> | undefined
    return {
      stop: (timeout) => {
        stopped ??= stop(timeout)
        return stopped
      },
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map((worker) => worker.stop(0)))
    await Promise.all([disconnect(this.#hearing), disconnect(this.#settings.connection)])
  }

  #of(queue: string): Set<QueueWorker> {
    const found = this.#byQueue.get(queue)
    if (found) return found
    const made = new Set<QueueWorker>()
    this.#byQueue.set(queue, made)
    return made
  }

  #all(): QueueWorker[] {
    return [...this.#byQueue.values()].flatMap((workers) => [...workers])
  }

  #cancel(id: string): void {
    for (const worker of this.#byQueue.get(queueOf(id) ?? '') ?? []) worker.cancel(id)
  }

  #recheck(): void {
    for (const worker of this.#all()) worker.recheck().catch(this.#settings.onError)
  }
}
