import {
  type Kysely,
  type KyselyPlugin,
  OperationNodeTransformer,
  type RootOperationNode,
  SchemableIdentifierNode,
} from 'kysely'

/** What the kit records of a service. The lock of the migrations is none of it: those of one database wait for each other. */
const RECORDS: ReadonlySet<string> = new Set([
  'plinth_migration',
  'plinth_seed',
  'plinth_outbox',
  'plinth_task',
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
