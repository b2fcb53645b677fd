import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds that a request may take. */
const PATIENCE = 10_000
/** Milliseconds between the requests of one client. */
const PAUSE = 2

/** Clients that ask for one thing after the other, until they are stopped. */
export class Load {
  /** Why requests have failed. */
  readonly failures: string[] = []
  requests = 0
  readonly #agent: Agent
  readonly #clients: Promise<void>[]
  #times: number[] = []
  #stopped = false

  /**
   * @param next the address of the next request
   * @param keepAlive whether they keep their connections
   */
  constructor(clients: number, next: () => string, keepAlive = true) {
    this.#agent = new Agent({ keepAlive })
    this.#clients = Array.from({ length: clients }, () => this.#run(next))
  }

  /** Loads for some seconds. Returns how long 99 of 100 requests took at most then, in ms. */
  async p99(seconds: number): Promise<number> {
    this.#times = []
    await sleep(seconds * 1000)
    const sorted = this.#times.toSorted((a, b) => a - b)
    return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#clients)
    this.#agent.destroy()
  }

  async #run(next: () => string): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now()
      const problem = await this.#get(next())
      this.#times.push(performance.now() - began)
      this.requests += 1
      if (problem) this.failures.push(problem)
      await sleep(PAUSE)
    }
  }

  #get(url: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      const request = get(url, { agent: this.#agent, timeout: PATIENCE }, (response) => {
        const problem = response.statusCode === 200 ? undefined : `status ${response.statusCode}`
        response.resume().once('close', () => resolve(problem))
      })
      request.on('timeout', () => request.destroy(new Error('no answer')))
      request.on('error', (error) => resolve(error.message))
    })
  }
}
