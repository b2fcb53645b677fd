import {
  type Kysely,
  type KyselyPlugin,
  OperationNodeTransformer,
  type RootOperationNode,
  SchemableIdentifierNode,
  sql,
} from 'kysely'
import type { ErrorFactory } from '../errors.ts'
import { afterCommit, currentTransaction } from './current-transaction.ts'
import { dialectOf } from './portable.ts'

// The tables that the kit itself has in a database: what they are called, which of them there are, and how they come.

/** What the kit records of a service. The lock of the migrations is none of it: those of one database wait for each other. */
const RECORDS: ReadonlySet<string> = new Set([
  'plinth_migration',
  'plinth_seed',
  'plinth_outbox',
  'plinth_task',
  'plinth_task_place',
  'plinth_task_queue',
  'plinth_schedule',
  'plinth_schedule_made',
])

/** Gives the tables of records an ending. */
class OwnTables extends OperationNodeTransformer implements KyselyPlugin {
  readonly #ending: string

  constructor(ending: string) {
    super()
    this.#ending = ending
  }

  nameOf(table: string): string {
    return RECORDS.has(table) ? table + this.#ending : table
  }

  transformQuery({ node }: { node: RootOperationNode }): RootOperationNode {
    return this.transformNode(node)
  }

  async transformResult({ result }: Parameters<KyselyPlugin['transformResult']>[0]) {
    return result
  }

  protected override transformSchemableIdentifier(
    node: SchemableIdentifierNode,
  ): SchemableIdentifierNode {
    const name = this.nameOf(node.identifier.name)
    return name === node.identifier.name ? node : SchemableIdentifierNode.create(name)
  }
}

/**
 * The same database, in which the migrations, seeds and messages of a service are recorded in tables of its own where it shares the
 * database with others: `plinth_migration_billing`. To be asked for before `withoutModels`, which marks statements as a whole.
 *
 * @param plugin of tasks, where there are several: those of another name than `tasks` have `plinth_task__mails`
 */
export function withTablesOf<DB>(
  db: Kysely<DB>,
  { name, sharesDatabase }: { readonly name: string; readonly sharesDatabase?: boolean },
  plugin?: string,
): Kysely<DB> {
  // No name has two of them in a row: no service has what a plugin of another has.
  const ending = (sharesDatabase ? endingOf(name) : '') + (plugin ? `_${endingOf(plugin)}` : '')
  return ending ? db.withPlugin(new OwnTables(ending)) : db
}

const endingOf = (name: string) => `_${name.replaceAll(/[^a-z0-9]/g, '_')}`

/** What a table of the kit is called in a database, for SQL that is written by hand. */
export function ownName<DB>(db: Kysely<DB>, table: string): string {
  const own = db.getExecutor().plugins.find((plugin) => plugin instanceof OwnTables)
  return own ? own.nameOf(table) : table
}

/**
 * Which of these tables there are; changes nothing. Kysely's introspection reads every column of every table, which takes longer than
 * all else that a process asks as it starts.
 *
 * @param names as the kit calls them, whatever they are called for this service
 */
export async function existingTables<DB, Name extends string>(
  db: Kysely<DB>,
  names: readonly Name[],
): Promise<ReadonlySet<Name>> {
  const byOwnName = new Map(names.map((name) => [ownName(db, name), name]))
  const wanted = sql.join([...byOwnName.keys()].map((name) => sql.lit(name)))
  const { rows } = await (dialectOf(db) === 'mysql'
    ? sql<{ name: string }>`select table_name as name from information_schema.tables
        where table_schema = database() and table_name in (${wanted})`
    : sql<{
        name: string
      }>`select name from sqlite_master where type = 'table' and name in (${wanted})`
  ).execute(db)
  return new Set(rows.flatMap(({ name }) => byOwnName.get(name) ?? []))
}

export interface TablesToMake<DB> {
  names: readonly (keyof DB & string)[]
  /** Makes those that are missing, and nothing of those that are there. */
  make: (db: Kysely<DB>) => Promise<void>
  /** What is thrown where that is not allowed; default: what the database says. */
  missing?: ErrorFactory<[problem: string]>
}

/** Tables of the kit itself, for which a service has no migrations: they are made when they are used first. */
export class MadeTables<DB> {
  readonly #db: Kysely<DB>
  readonly #tables: TablesToMake<DB>
  #areThere = false

  constructor(db: Kysely<DB>, tables: TablesToMake<DB>) {
    this.#db = db
    this.#tables = tables
  }

  /** Whether they are known to be there. */
  get areThere(): boolean {
    return this.#areThere
  }

  /**
   * Makes what is missing; many processes may do so at once. On SQLite within the transaction at hand, as there is one
   * connection, and DDL is taken back with it; on MySQL, where DDL would commit that transaction, on another connection.
   *
   * @returns the database, in the transaction at hand
   * @throws {PlinthError} `missing`
   */
  async prepare(): Promise<Kysely<DB>> {
    const here: Kysely<DB> = currentTransaction(this.#db) ?? this.#db
    if (!this.#areThere) await this.#make(dialectOf(here) === 'sqlite' ? here : this.#db)
    return here
  }

  async #make(db: Kysely<DB>): Promise<void> {
    const { names, make, missing } = this.#tables
    if ((await existingTables(db, names)).size < names.length) {
      try {
        await make(db)
      } catch (cause) {
        throw missing?.with({ cause }, (cause as Error).message) ?? cause
      }
    }
    const committed = () => {
      this.#areThere = true
    }
    if (db.isTransaction) afterCommit(db, committed, () => {})
    else committed()
  }
}
