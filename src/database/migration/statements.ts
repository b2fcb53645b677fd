import type {
  KyselyPlugin,
  PluginTransformQueryArgs,
  PluginTransformResultArgs,
  QueryId,
} from 'kysely'

/** Counts the statements of a migration, so that a failure can say where it stopped. */
export class StatementCounter implements KyselyPlugin {
  /** How many have succeeded. */
  done = 0
  readonly #open = new Set<QueryId>()

  /** Where the migration is: in a statement, or in the code behind one. */
  get place(): string {
    return this.#open.size > 0 ? `statement ${this.done + 1}` : `after statement ${this.done}`
  }

  transformQuery({ queryId, node }: PluginTransformQueryArgs): PluginTransformQueryArgs['node'] {
    this.#open.add(queryId)
    return node
  }

  async transformResult({
    queryId,
    result,
  }: PluginTransformResultArgs): Promise<PluginTransformResultArgs['result']> {
    this.#open.delete(queryId)
    this.done += 1
    return result
  }
}
