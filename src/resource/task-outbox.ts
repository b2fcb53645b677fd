import type { Kysely } from 'kysely'
import { afterCommit, currentTransaction } from '../database/current-transaction.ts'
import { addToOutbox, findInOutbox, prepareOutbox, sendFromOutbox } from '../database/outbox.ts'
import { dialectOf } from '../database/portable.ts'
import type { Outbox } from '../task/relay.ts'
import type { TaskOutbox } from '../task/tasks.ts'
import type { TaskTree } from '../task/types.ts'

const KIND = 'task'

/** The tasks that wait in a database: added within its transactions, taken to Redis by a relay. */
export class DatabaseOutbox<DB> implements TaskOutbox, Outbox {
  readonly #db: Kysely<DB>
  readonly #added: () => void
  #isPrepared = false

  /** @param added called when a task has been added and committed */
  constructor(db: Kysely<DB>, added: () => void) {
    this.#db = db
    this.#added = added
  }

  inTransaction(): boolean {
    return currentTransaction(this.#db) !== undefined
  }

  /** @throws {PlinthError} OUTBOX_MISSING */
  async add(tree: TaskTree): Promise<void> {
    await this.prepare()
    await addToOutbox(this.#db, [{ id: tree.id, kind: KIND, payload: tree }])
    const committed = () => {
      this.#isPrepared = true
      this.#added()
    }
    afterCommit(this.#db, committed, () => {})
  }

  async get(id: string): Promise<TaskTree | undefined> {
    if (!this.#isPrepared) return undefined
    const payload = await findInOutbox(this.#db, KIND, id)
    return payload === undefined ? undefined : JSON.parse(payload)
  }

  send: Outbox['send'] = async (limit, send) => {
    await this.prepare()
    return await sendFromOutbox(this.#db, KIND, limit, send)
  }

  /**
   * Makes the table where it is missing: on SQLite within the transaction at hand, as there is one connection, and DDL is
   * taken back with it; on MySQL, where DDL would commit that transaction, on another connection.
   *
   * @throws {PlinthError} OUTBOX_MISSING
   */
  async prepare(): Promise<void> {
    if (this.#isPrepared) return
    const within = dialectOf(this.#db) === 'sqlite' ? currentTransaction(this.#db) : undefined
    await prepareOutbox(within ?? this.#db)
    this.#isPrepared = within === undefined
  }
}
