import { AbortableRun } from '../abortable-run.ts'
import type { Failure } from '../errors.ts'
import type { Progress, Run, TaskData } from '../types.ts'
import { readFailure, readJobData, type TaskJob } from './record.ts'

/** A task that this process runs. */
export class JobRun extends AbortableRun implements Run {
  readonly attempt: number
  readonly data: TaskData
  /** What it comes to, as BullMQ is told. */
  outcome: Promise<unknown> | undefined
  /** What it comes to is settled, and on its way to Redis: nothing changes it any more. */
  isDecided = false
  #job: TaskJob
  #token: string
  #since: number
  #given: Promise<unknown> | undefined

  constructor(job: TaskJob, token: string) {
    super()
    this.#job = job
    this.#token = token
    this.#since = askedFor(job)
    this.attempt = job.attemptsMade + 1
    this.data = readJobData(job)
  }

  get job(): TaskJob {
    return this.#job
  }

  get token(): string {
    return this.#token
  }

  /** Milliseconds since this process asked for it: its lock is no older. */
  get age(): number {
    return performance.now() - this.#since
  }

  /** It was given to this process again, which runs it still. */
  adopt(job: TaskJob, token: string): void {
    this.#job = job
    this.#token = token
    this.#since = askedFor(job)
  }

  get id(): string {
    return this.#job.id as string
  }

  get due(): number {
    return this.#job.timestamp + (this.#job.opts.delay ?? 0)
  }

  get attempts(): number {
    return this.#job.opts.attempts || 1
  }

  async progress(progress: Progress): Promise<void> {
    await this.#job.updateProgress(progress)
  }

  async childResults(): Promise<unknown[]> {
    const { children = [] } = this.#job.data
    if (children.length === 0) return []
    const values = (await this.#job.getChildrenValues()) ?? {}
    // BullMQ has them by key, `PREFIX:QUEUE:ID`.
    const byId = new Map(Object.entries(values).map(([key, value]) => [idOf(key), value]))
    return children.map((id) => byId.get(id) ?? null)
  }

  async childFailures(): Promise<(Failure | null)[]> {
    const { children = [] } = this.#job.data
    if (children.length === 0) return []
    const failures = await failuresOf(this.#job)
    return children.map((id) => failures.get(id) ?? null)
  }

  get isGivenBack(): boolean {
    return this.#given !== undefined
  }

  /** Gives it back, to run again after `delay` ms; it has not used up a try. Once, however often it is called. */
  giveBack(delay = 0): Promise<unknown> {
    // Nobody is woken up for one with a priority that BullMQ takes back at once.
    this.#given ??=
      delay > 0 || this.#job.priority > 0
        ? this.#job.moveToDelayed(Date.now() + delay, this.#token)
        : this.#job.moveToWait(this.#token)
    return this.#given
  }
}

/** When this process asked for `job`, by its own clock: where it stood still it has been given it much later. */
function askedFor({ processedOn }: TaskJob): number {
  const now = Date.now()
  return performance.now() - Math.max(0, now - (processedOn ?? now))
}

/** Why children have failed with which it goes on, by their ids. */
export async function failuresOf(job: TaskJob): Promise<Map<string, Failure>> {
  const found = Object.entries((await job.getIgnoredChildrenFailures()) ?? {})
  return new Map(found.map(([key, text]) => [idOf(key), readFailure(text)]))
}

/** Of a job, by its key. */
export function idOf(key: string): string {
  return key.slice(key.lastIndexOf(':') + 1)
}
