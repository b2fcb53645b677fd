import { setTimeout as sleep } from 'node:timers/promises'
import { type Habit, Load, type LoadAnswer, type LoadRequest } from './load-clients.ts'
import { Managed, type Start } from './managed.ts'

/** What is tested. */
export interface RolloutTest {
  /** How `manage` is started, without `args`: by paths that lead to the release which is the current one then. */
  readonly start: Omit<Start, 'args' | 'onLine'>
  readonly workers: number
  /** How many clients there are of each kind. */
  readonly clients: Readonly<Record<Habit, number>>
  /** How many requests all of them make in a second; default: as many as are answered. */
  readonly rate?: number | undefined
  /** Called once it serves, before there is any load. @param url where the service is */
  readonly prepare?: (url: string) => Promise<void>
  readonly next: () => LoadRequest
  /** Milliseconds of load between two restarts. */
  readonly pause: number
  /** Called before all processes are replaced, the first time with 1: puts the release there that is to come. */
  readonly beforeRenewal?: (round: number) => Promise<void> | void
  /** Called when they are. @param url where the service is */
  readonly afterRenewal?: (round: number, url: string) => Promise<void>
  /** Whether it ends after so many rounds: of each all processes were replaced, and one was ended. */
  readonly isOver: (round: number) => boolean
  /** Enqueues a task and returns its id, or has none; a worker runs them, which is restarted, too. Default: there are none. */
  readonly enqueue?: (() => Promise<string | undefined>) | undefined
  /** What is known of a task that is lost. */
  readonly explain?: (id: string) => Promise<string>
  /** Told after each answer how many there were, and how many of them failed. */
  readonly tell?: (requests: number, failed: number) => void
  /** Ends it before its time. */
  readonly signal?: AbortSignal | undefined
}

/** What came of it. */
export interface RolloutReport {
  /** How many were made, not counting failures. */
  requests: number
  /** Each kind of failure, the most frequent one first. */
  failures: { request: string; problem: string; times: number }[]
  /** How often all processes were replaced (SIGHUP), and how often one was ended (SIGTERM). */
  restarts: { all: number; one: number }
  tasks: { enqueued: number; lost: string[]; doubled: string[] }
  /** What went wrong beside requests and tasks. */
  problems: string[]
}

/** Milliseconds between two tasks. */
const TASK_PAUSE = 100
/** Milliseconds in which those that are left have to be done: longer than one waits whose worker has died. */
const TASK_PATIENCE = 90_000

/**
 * Serves under load by `manage serve --workers`, while all of its processes are replaced by SIGHUP and single ones are ended by SIGTERM, in
 * turns, and reports every request that was not answered with success, and every task that has not run exactly once.
 *
 * @throws {PlinthError} ROLLOUT_UNTESTED where it does not start; the reason of `signal`
 */
export async function testRollout(test: RolloutTest): Promise<RolloutReport> {
  const { start, workers, pause, isOver, signal } = test
  const args = ['serve', '--workers', `${workers}`, '--host', '127.0.0.1', '--port', '0']
  const tasks = test.enqueue && new TaskTest(start, test.enqueue)
  // It may run some of them itself.
  const group = new Managed({ ...start, args, onLine: (line) => tasks?.hear(line) })
  let load: Load | undefined
  const stop = () => group.kill()
  signal?.addEventListener('abort', stop)
  try {
    const url = await group.url()
    await test.prepare?.(url)
    await tasks?.begin()
    const failures = new Failures()
    load = new Load({
      clients: test.clients,
      rate: test.rate,
      next: test.next,
      onAnswer(answer) {
        failures.add(answer)
        test.tell?.(load?.requests ?? 0, load?.failures.length ?? 0)
      },
    })
    const rest = () => sleep(pause, undefined, { signal })
    const restarts = { all: 0, one: 0 }
    const problems: string[] = []
    await rest()
    do {
      await test.beforeRenewal?.(restarts.all + 1)
      group.signal('SIGHUP')
      // What it says where it has failed names no process.
      const line = await group.says('the processes are replaced', 'a new process does not start')
      restarts.all += 1
      if (line.includes('"err":')) {
        problems.push(`${JSON.parse(line).msg}:\n${group.tail()}`)
        // None would take the place of one that is ended.
        break
      }
      await test.afterRenewal?.(restarts.all, url)
      await Promise.all([rest(), tasks?.restart()])
      const died = await endOne(group)
      if (died) problems.push(died)
      restarts.one += 1
      await rest()
    } while (!isOver(restarts.all) && problems.length === 0)
    await load.stop()
    const told = await tasks?.end(test.explain)
    group.signal('SIGTERM')
    const code = await group.ended()
    if (code !== 0) problems.push(`manage serve has ended with ${code}:\n${group.tail()}`)
    return {
      requests: load.requests,
      failures: failures.list(),
      restarts,
      tasks: told ?? { enqueued: 0, lost: [], doubled: [] },
      problems,
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
    group.kill()
    tasks?.kill()
    await load?.stop()
  }
}

/** Ends one process of a group, and waits until another has its place. @returns what it says where that is not in order */
async function endOne(group: Managed): Promise<string | undefined> {
  const before = await group.members()
  process.kill(before[0]?.pid ?? 0, 'SIGTERM')
  const line = await group.says('a process has ended by itself', 'a process has died')
  for (let looks = 0; looks < 600; looks++) {
    await sleep(100)
    const serving = (await group.members()).filter(({ state }) => state === 'serving')
    if (serving.length === before.length) return line.includes('has died') ? line : undefined
  }
  return `no process takes the place of one that was ended:\n${group.tail()}`
}

/** Failed requests by what they were and why they failed. */
class Failures {
  readonly #times = new Map<string, { request: string; problem: string; times: number }>()

  add({ request: { method = 'GET', url }, habit, problem }: LoadAnswer): void {
    if (problem === undefined) return
    const request = `${method} ${new URL(url).pathname}`
    const why = habit === 'kept' ? problem : `${problem} (a ${habit} connection)`
    const key = `${request} ${why}`
    const known = this.#times.get(key) ?? { request, problem: why, times: 0 }
    known.times += 1
    this.#times.set(key, known)
  }

  list() {
    return [...this.#times.values()].sort((a, b) => b.times - a.times)
  }
}

/** Tasks that are enqueued all the time, and the worker that runs them. */
class TaskTest {
  readonly #start: Omit<Start, 'args'>
  readonly #enqueue: () => Promise<string | undefined>
  readonly #ids: string[] = []
  /** How often each has been done. */
  readonly #done = new Map<string, number>()
  /** What the log says of those that were not done. */
  readonly #trouble = new Map<string, string>()
  /** Those that have failed for good. */
  readonly #failed = new Set<string>()
  #worker: Managed | undefined
  #enqueuing: Promise<void> | undefined
  #stopped = false

  constructor(start: Omit<Start, 'args'>, enqueue: () => Promise<string | undefined>) {
    this.#start = { ...start, onLine: (line) => this.hear(line) }
    this.#enqueue = enqueue
  }

  async begin(): Promise<void> {
    this.#worker = await this.#work()
    this.#enqueuing = this.#enqueueAll()
    // `end` hears of it.
    this.#enqueuing.catch(() => {})
  }

  /** Another worker takes the place of the one that there is. */
  async restart(): Promise<void> {
    const old = this.#worker
    this.#worker = await this.#work()
    old?.signal('SIGTERM')
    await old?.ended()
  }

  async end(explain: RolloutTest['explain']): Promise<RolloutReport['tasks']> {
    this.#stopped = true
    await this.#enqueuing
    const open = () => this.#ids.filter((id) => !this.#done.has(id))
    const mayCome = () => open().some((id) => !this.#failed.has(id))
    const late = performance.now() + TASK_PATIENCE
    while (mayCome() && performance.now() < late) await sleep(50)
    this.#worker?.signal('SIGTERM')
    await this.#worker?.ended()
    const lost = open().map(async (id) => {
      const why = this.#trouble.get(id) ?? (await explain?.(id).catch((error) => error.message))
      return `${id}: ${why}`
    })
    const doubled = this.#ids.filter((id) => (this.#done.get(id) ?? 0) > 1)
    return { enqueued: this.#ids.length, lost: await Promise.all(lost), doubled }
  }

  kill(): void {
    this.#stopped = true
    this.#worker?.kill()
  }

  async #work(): Promise<Managed> {
    const worker = new Managed({ ...this.#start, args: ['worker', '--no-schedules'] })
    await worker.says('working on tasks')
    return worker
  }

  async #enqueueAll(): Promise<void> {
    while (!this.#stopped) {
      const id = await this.#enqueue()
      if (id !== undefined) this.#ids.push(id)
      await sleep(TASK_PAUSE)
    }
  }

  /** @param line of the log of what may run them */
  hear(line: string): void {
    if (!line.includes('"task_id":')) return
    const { task_id, msg, level, err } = JSON.parse(line)
    if (msg === 'task done') this.#done.set(task_id, (this.#done.get(task_id) ?? 0) + 1)
    else if (level !== 'info') this.#trouble.set(task_id, err?.message ?? msg)
    if (msg === 'task failed' && level === 'error') this.#failed.add(task_id)
  }
}
