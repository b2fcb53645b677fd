import { sql } from 'kysely'
import type { End, Kept } from './record.ts'
import type { Over, TaskSteps } from './steps.ts'

// How often what is kept no longer is looked for, in ms.
const SWEEP = 10_000
// How many are deleted at once.
const PAGE = 500

/** How long tasks that have ended stay in their table. */
export class TaskRetention {
  readonly #steps: TaskSteps
  /** By what is kept together: how many have ended since there was a look at how many there are. */
  readonly #ended = new Map<string, { kept: Kept; state: End; ends: number }>()
  /** When it is looked for what is kept no longer, by `performance.now()`. */
  #nextSweep = 0

  constructor(steps: TaskSteps) {
    this.#steps = steps
  }

  /** One has ended: there may be more by now than are kept. */
  count({ state, kept }: Over): void {
    if (!state || !kept) return
    const key = `${state} ${kept.with} ${kept.count}`
    const known = this.#ended.get(key) ?? { kept, state, ends: 0 }
    known.ends++
    this.#ended.set(key, known)
    if (kept.age < SWEEP) this.#nextSweep = 0
  }

  /** Deletes what is kept no longer, now and then. */
  async sweep(): Promise<void> {
    await this.trim()
    const now = performance.now()
    if (now < this.#nextSweep) return
    this.#nextSweep = now + SWEEP
    const old = await this.#steps.db
      .selectFrom('plinth_task')
      .select('position')
      .where('expires', '<', this.#steps.now)
      .orderBy('expires')
      .limit(PAGE)
      .execute()
    await this.#delete(old)
  }

  /** Of those that are kept together more may have ended than are kept. */
  async trim(): Promise<void> {
    for (const [key, { kept, state, ends }] of this.#ended) {
      if (ends < kept.count / 10) continue
      this.#ended.delete(key)
      const counted = () =>
        this.#steps.db
          .selectFrom('plinth_task')
          .where('kept_with', '=', kept.with)
          .where('state', '=', state)
          .where(({ or, eb }) => or([eb('held', 'is', null), eb('held', '<', this.#steps.now)]))
      const last = await counted()
        .select(['turn', 'position'])
        .orderBy('turn', 'desc')
        .orderBy('position', 'desc')
        .offset(kept.count)
        .limit(1)
        .executeTakeFirst()
      if (!last) continue
      const old = await counted()
        .select('position')
        .where(({ or, and, eb }) =>
          or([
            eb('turn', '<', last.turn),
            and([eb('turn', '=', last.turn), eb('position', '<=', last.position)]),
          ]),
        )
        .orderBy('turn')
        .limit(PAGE * 4)
        .execute()
      await this.#delete(old)
    }
  }

  async #delete(rows: readonly { position: number }[]): Promise<void> {
    if (rows.length === 0) return
    const positions = sql.join(rows.map(({ position }) => position).toSorted((a, b) => a - b))
    // None that was put back meanwhile.
    const which = sql`position in (${positions}) and expires is not null`
    // So MySQL is told which key to use, by which it meets no row that others have locked.
    await (this.#steps.isMysql
      ? sql`delete t from ${sql.table('plinth_task')} as t force index (primary) where ${which}`
      : sql`delete from ${sql.table('plinth_task')} where ${which}`
    ).execute(this.#steps.db)
  }
}
