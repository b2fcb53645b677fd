import { sql } from 'kysely'
import { cancelled, childFailed, type Failure } from '../errors.ts'
import type { TaskPlaces } from './places.ts'
import {
  type End,
  failureKey,
  isOver,
  type Keep,
  type Kept,
  keptOf,
  readData,
  readOptions,
} from './record.ts'
import type { ClaimedRow, DatabaseRun } from './run.ts'
import type { Effects, TaskSteps } from './steps.ts'
import type { Db, RowState, TaskRow } from './tables.ts'

/** What a try has come to. `back`: it has not been one, and the next is before others. */
export type Outcome =
  | { readonly state: 'succeeded'; readonly result: string | null }
  | { readonly state: 'failed'; readonly failure: Failure }
  | { readonly state: 'again'; readonly delay: number; readonly counts: boolean }
  | { readonly state: 'back' }

const BLOCKED = { state: 'blocked', urgency: 0 }
const RETRIED: readonly RowState[] = ['failed', 'crashed', 'cancelled']

/** How tasks end, and with them those that wait for them; and how they are put back. */
export class TaskFinisher {
  readonly #steps: TaskSteps
  readonly #keep: Keep
  readonly #places: TaskPlaces

  constructor(steps: TaskSteps, keep: Keep, places: TaskPlaces) {
    this.#steps = steps
    this.#keep = keep
    this.#places = places
  }

  /** Ends tasks that have succeeded, as many as it can at once. @returns those that it could not, and which are to be settled */
  async succeed(
    all: readonly { run: DatabaseRun; result: string | null }[],
    worker: string,
  ): Promise<DatabaseRun[]> {
    const left: DatabaseRun[] = []
    const alike = Map.groupBy(all, ({ run }) =>
      JSON.stringify(keptOf(run.row, 'succeeded', this.#keep)),
    )
    for (const [text, ends] of alike) {
      const kept: Kept = JSON.parse(text)
      const positions = sql.join(ends.map(({ run }) => run.row.position))
      const given = ends.filter(({ result }) => result !== null)
      const cases = given.map(({ run, result }) => sql`when ${run.row.position} then ${result}`)
      const result =
        given.length === 0 ? sql`null` : sql`case position ${sql.join(cases, sql` `)} end`
      const { numAffectedRows } = await sql`
        update ${this.#steps.by('primary')} set state = 'succeeded', urgency = 0, turn = ${this.#steps.now},
          finished = ${this.#steps.now}, result = ${result}, attempts_made = attempts_made + 1, uniq = null,
          kept_with = ${kept.with}, expires = ${this.#steps.in(kept.age)},
          held = ${kept.held > 0 ? this.#steps.in(kept.held) : null}
        where position in (${positions}) and state = 'running' and worker = ${worker} and cancelled = 0`.execute(
        this.#steps.db,
      )
      const over = ends.map(({ run: { id } }) => ({ id, kept, state: 'succeeded' as const }))
      if (Number(numAffectedRows) === ends.length) this.#steps.changed({ over, ready: new Set() })
      else left.push(...ends.map(({ run }) => run))
    }
    return left
  }

  /**
   * Says what a try has come to, by whoever runs it: the first that says so counts.
   *
   * @returns whether it was taken: not where the task has ended elsewhere
   */
  async settle({ row: claimed }: DatabaseRun, worker: string, outcome: Outcome): Promise<boolean> {
    return await this.#steps.change(async (db, effects) => {
      const row = await this.#steps.lock(db, 'position', claimed.position)
      // It was ended with others, of which one could not be.
      if (row?.state === 'succeeded' && row.worker === worker) return true
      if (!row || isOver(row.state) || row.attempts_made !== claimed.attempts_made) return false
      if (row.cancelled) {
        const failure = cancelled(row.id)
        await this.end(db, effects, row, 'cancelled', { failure, counts: true })
      } else if (outcome.state === 'back' || outcome.state === 'again') {
        const counts = outcome.state === 'again' && outcome.counts
        // Others have it by now.
        if (!counts && row.worker !== worker) return false
        const delay = outcome.state === 'again' ? outcome.delay : 0
        const next = outcome.state === 'back' ? this.#steps.first() : this.#steps.atOnce(row)
        await this.#steps.set(db, row.position, {
          ...(delay > 0 ? this.#steps.delayed(delay) : next),
          attempts_made: row.attempts_made + (counts ? 1 : 0),
          ...{ crashes: 0, worker: null },
        })
        await this.#places.leave(db, effects, row)
        effects.ready.add(row.queue)
      } else await this.end(db, effects, row, outcome.state, { ...outcome, counts: true })
      return true
    })
  }

  /** The task that is cancelled, whether by this, and whether it still runs. */
  async cancel(id: string): Promise<{ row: TaskRow; runs: boolean; isNew: boolean } | undefined> {
    return await this.#steps.change(async (db, effects) => {
      const row = await this.#steps.lock(db, 'id', id)
      if (row?.state === 'cancelled') return { row, runs: false, isNew: false }
      if (!row || isOver(row.state)) return undefined
      await this.#steps.set(db, row.position, { cancelled: 1 })
      const runs = row.state === 'running'
      if (!runs) await this.end(db, effects, row, 'cancelled', { failure: cancelled(id) })
      return { row, runs, isNew: true }
    })
  }

  /** Puts one back that has failed or was cancelled; what it waits for was put back before. */
  async retry(id: string): Promise<boolean> {
    return await this.#steps.change(async (db, { ready }) => {
      const row = await this.#steps.lock(db, 'id', id)
      if (!row || !RETRIED.includes(row.state)) return false
      await this.#steps.set(db, row.position, {
        ...{ attempts_made: 0, crashes: 0, died: null, cancelled: 0, worker: null, failure: null },
        ...{ finished: null, kept_with: null, expires: null, held: null },
        turn: this.#steps.now,
        ...(isComplete(row) ? this.#steps.atOnce(row) : BLOCKED),
      })
      ready.add(row.queue)
      return true
    })
  }

  async remove(id: string): Promise<boolean> {
    return await this.#steps.change(async (db, effects) => {
      const row = await this.#steps.lock(db, 'id', id)
      if (!row || row.state === 'running' || row.state === 'same') return false
      await db.deleteFrom('plinth_task').where('position', '=', row.position).execute()
      effects.over.push({ id })
      if (row.parent !== null) await this.#fulfil(db, effects, row, { [id]: null })
      await this.#places.leave(db, effects, row)
      return true
    })
  }

  /** Ends one within `db`, and lets the one go on, or fail, that waits for it. */
  async end(
    db: Db,
    effects: Effects,
    row: ClaimedRow,
    state: End,
    {
      result = null,
      failure,
      counts = false,
    }: { result?: string | null; failure?: Failure; counts?: boolean },
  ): Promise<void> {
    const kept = keptOf(row, state, this.#keep)
    await this.#steps.set(db, row.position, {
      ...{ state, urgency: 0, turn: this.#steps.now, finished: this.#steps.now },
      // One that is throttled keeps others out as long as that says.
      ...(readOptions(row).throttle === undefined && { uniq: null }),
      ...{ result, failure: failure ? JSON.stringify(failure) : null },
      attempts_made: row.attempts_made + (counts ? 1 : 0),
      ...{ kept_with: kept.with, expires: this.#steps.in(kept.age) },
      held: kept.held > 0 ? this.#steps.in(kept.held) : null,
    })
    effects.over.push({ id: row.id, state, kept })
    if (row.parent !== null && state === 'succeeded')
      await this.#fulfil(db, effects, row, { [row.id]: JSON.parse(result ?? 'null') })
    else if (row.parent !== null) await this.#failParent(db, effects, row, failure)
    await this.#places.leave(db, effects, row)
  }

  /** The one that waits for it has one less to wait for. */
  async #fulfil(
    db: Db,
    { ready }: Effects,
    { parent }: Pick<TaskRow, 'parent'>,
    known: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const row = await this.#steps.lock(db, 'id', parent as string)
    if (!row) return
    const results = JSON.stringify({ ...JSON.parse(row.results ?? '{}'), ...known })
    // One that is complete already waits for a place.
    const waits = row.state === 'blocked' && !isComplete(row)
    const goesOn = waits && isComplete({ ...row, results })
    const { delay } = readOptions(row)
    const next = delay > 0 ? this.#steps.delayed(delay) : this.#steps.atOnce(row)
    await this.#steps.set(db, row.position, { results, ...(goesOn && next) })
    if (goesOn) ready.add(row.queue)
  }

  async #failParent(
    db: Db,
    effects: Effects,
    child: Pick<TaskRow, 'id' | 'parent' | 'options'>,
    failure: Failure | undefined,
  ): Promise<void> {
    const { id, parent } = child
    const { ifFails = 'fail' } = readOptions(child)
    if (ifFails !== 'fail') {
      const known = {
        [failureKey(id)]: failure ?? null,
        ...(ifFails === 'continue' && { [ANY]: 1 }),
      }
      await this.#fulfil(db, effects, child, known)
      return
    }
    const row = await this.#steps.lock(db, 'id', parent as string)
    if (row?.state !== 'blocked' || isComplete(row)) return
    await this.end(db, effects, row, 'failed', { failure: childFailed(id) })
  }
}

/** Among the results that a task is handed: that it waits for no more of them. */
const ANY = '!'

/** Whether it waits for no other any more. */
function isComplete(row: Pick<TaskRow, 'data' | 'cancelled' | 'results'>): boolean {
  const { children = [] } = readData(row)
  const results = JSON.parse(row.results ?? '{}')
  return ANY in results || children.every((id) => id in results || failureKey(id) in results)
}
