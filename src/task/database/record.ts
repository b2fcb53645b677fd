import { type RawBuilder, sql } from 'kysely'
import type { InMilliseconds } from '../../duration.ts'
import { digest } from '../id.ts'
import { hasEnded } from '../state.ts'
import type { NewTask, Retention, TaskCrash, TaskData, TaskRecord, TaskState } from '../types.ts'
import type { RowState, TaskRow } from './tables.ts'

/** The last instant that a date can be is further away. */
const LONGEST = 8e15

/** What is kept of a row whose task is to be added. */
export interface Added {
  task: NewTask
  /** The id of the one that waits for it. */
  parent?: string | undefined
  /** The ids of those that it waits for. */
  children?: readonly string[]
}

/** A row for a task. @param now the instant, as SQL */
export function toRow({ task, parent, children = [] }: Added, now: RawBuilder<number>) {
  const { id, queue, data, options } = task
  const { delay, priority = 0, unique } = options
  const later = delay > 0 ? sql<number>`${now} + ${Math.min(delay, LONGEST)}` : now
  const state: RowState = children.length > 0 ? 'blocked' : delay > 0 ? 'delayed' : 'waiting'
  return {
    ...{ id, queue, state, priority, enqueued: now, due: later },
    urgency: state === 'waiting' ? priority : 0,
    turn: state === 'delayed' ? later : now,
    uniq: unique === undefined ? null : digest(queue, unique),
    parent: parent ?? null,
    data: JSON.stringify(children.length > 0 ? { ...data, children } : data),
    options: JSON.stringify(options),
    ...{ attempts_made: 0, crashes: 0, cancelled: 0 },
  }
}

export function readOptions({ options }: Pick<TaskRow, 'options'>): NewTask['options'] {
  return JSON.parse(options)
}

export function readData({ data, cancelled }: Pick<TaskRow, 'data' | 'cancelled'>): TaskData {
  const read: TaskData = JSON.parse(data)
  return cancelled ? { ...read, cancelled: true } : read
}

/** Among the results that a task is handed: why a child has come to nothing. No id is so. */
export function failureKey(id: string): string {
  return `!${id}`
}

/** Whether a row is of a task that runs no more. */
export function isOver(state: RowState): boolean {
  return state === 'same' || (state !== 'blocked' && hasEnded(state))
}

export function toRecord(row: TaskRow): TaskRecord {
  const { id, queue, state, progress, result, failure, attempts_made } = row
  const json = (text: string | null) => (text === null ? null : JSON.parse(text))
  return {
    ...{ id, queue, attempts_made, data: readData(row) },
    state: state === 'blocked' ? 'waiting' : (state as TaskState),
    progress: json(progress),
    result: json(result),
    failure: json(failure),
    attempts: readOptions(row).attempts,
    worker: row.worker?.split('/')[0] ?? null,
    crashes: json(row.died) ?? [],
    enqueued_at: toIso(row.enqueued),
    due_at: toIso(row.due),
    started_at: row.started === null ? null : toIso(row.started),
    finished_at: row.finished === null ? null : toIso(row.finished),
  }
}

function toIso(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/** So many of them are kept. */
const DEATHS = 20

/** The processes that have died of a task, with the one that runs it by what is known. */
export function withDeath({
  died,
  worker,
  started,
}: Pick<TaskRow, 'died' | 'worker' | 'started'>): readonly TaskCrash[] {
  const before: TaskCrash[] = JSON.parse(died ?? '[]')
  const [name = ''] = worker?.split('/') ?? []
  const now = Date.now()
  const death = { worker: name, began_at: toIso(started ?? now), noticed_at: toIso(now) }
  return [...before, death].slice(-DEATHS)
}

/** What is kept of tasks that have ended, of each queue and end. */
export interface Keep {
  succeeded: InMilliseconds<Retention>
  /** And as many of those that were cancelled. */
  failed: InMilliseconds<Retention>
}

const DAY = 86_400_000

export const KEEP: Keep = {
  succeeded: { age: DAY, count: 10_000 },
  failed: { age: 14 * DAY, count: 10_000 },
}

/** How long a task that has ended is kept. */
export interface Kept {
  /** So many are kept of those that say the same here. */
  with: string
  count: number
  /** Milliseconds until it is deleted. */
  age: number
  /** Milliseconds that it is not counted and stays. */
  held: number
}

export type End = 'succeeded' | 'failed' | 'crashed' | 'cancelled'

export function keptOf(
  { queue, data, options }: Pick<TaskRow, 'queue' | 'data' | 'options'>,
  state: End,
  usual: Keep,
): Kept {
  const kind = state === 'succeeded' ? 'succeeded' : 'failed'
  const { keep, keyFor = 0 } = readOptions({ options })
  const wish = keep?.[kind]
  const { age, count } = { ...usual[kind], ...wish }
  const { resource }: TaskData = JSON.parse(data)
  return {
    with: wish ? digest('resource', resource) : digest('queue', queue),
    count,
    age: Math.min(Math.max(age, keyFor), LONGEST),
    held: Math.min(keyFor, LONGEST),
  }
}
