import { errors } from '../../src/errors.ts'
import type { NewTask, TaskLog, TaskTree } from '../../src/task/types.ts'

/** Of a driver what adds, by the contract: an id that is there is not added. */
export class FakeDriver {
  readonly tasks = new Map<string, NewTask>()
  /** How often a task was to be added, known or not. */
  given = 0
  isAway = false

  async add(tasks: readonly NewTask[]): Promise<string[]> {
    if (this.isAway) throw errors.TASKS_UNAVAILABLE('Redis is away')
    this.given += tasks.length
    for (const task of tasks) if (!this.tasks.has(task.id)) this.tasks.set(task.id, task)
    return tasks.map(({ id }) => id)
  }

  async addTree(tree: TaskTree): Promise<void> {
    await this.add([tree])
  }

  async alias(): Promise<void> {}

  /** The request ids: those of schedules tell the tick. */
  get requests(): string[] {
    return [...this.tasks.values()].map(({ data }) => data.requestId)
  }
}

/** What was logged: level and message. */
export class FakeLog implements TaskLog {
  readonly lines: string[] = []
  info = (_: object, message: string) => void this.lines.push(`info ${message}`)
  warn = (_: object, message: string) => void this.lines.push(`warn ${message}`)
  error = (_: object, message: string) => void this.lines.push(`error ${message}`)
}
