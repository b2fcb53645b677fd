import {
  type Compilable,
  type CompiledQuery,
  createQueryId,
  type Kysely,
  SelectQueryNode,
} from 'kysely'
import type { Database, Row } from './types.ts'

/** Stands for a value while its statement is compiled. */
class StandIn {
  readonly index: number

  constructor(index: number) {
    this.index = index
  }

  [Symbol.toPrimitive](): never {
    throw new TypeError(
      'A prepared query is built once for all values: it may hand a value on, and not look at it. Prepare a query for each case, or build it for each call',
    )
  }
}

interface Prepared {
  query: CompiledQuery
  /** What each parameter is: the value with this number, or the same each time. */
  parameters: readonly unknown[]
}

/** More shapes than a list has that is asked for what people ask; who tries all orders shall not fill the memory. */
const MOST = 200

/** Selects that are built and compiled once for each database: whoever asks again only brings other values. */
export class PreparedQueries {
  // The adapter is the same for a database and all its transactions.
  readonly #known = new WeakMap<object, Map<string, Prepared>>()

  /**
   * @param key says all that the statement depends on beside the database
   * @param build makes it; gets a stand-in for each of `values`
   */
  async run<DB, Values extends readonly unknown[]>(
    db: Kysely<DB>,
    key: string,
    values: Values,
    build: (values: Values) => Compilable<unknown>,
  ): Promise<Row[]> {
    const executor = db.getExecutor()
    // A plugin may make another statement of each; it does so when one is built.
    if (executor.plugins.length > 0) {
      const { rows } = await executor.executeQuery<Row>(
        build(values).compile() as CompiledQuery<Row>,
      )
      return rows
    }
    const kept = this.#keptOf(executor.adapter)
    let prepared = kept.get(key)
    if (!prepared) {
      prepared = prepare(build, values)
      if (kept.size >= MOST) kept.clear()
      kept.set(key, prepared)
    }
    const { query, sql } = prepared.query
    const parameters = prepared.parameters.map((one) =>
      one instanceof StandIn ? values[one.index] : one,
    )
    const { rows } = await executor.executeQuery<Row>({
      query,
      sql,
      parameters,
      queryId: createQueryId(),
    })
    return rows
  }

  #keptOf(adapter: object): Map<string, Prepared> {
    const kept = this.#known.get(adapter) ?? new Map<string, Prepared>()
    this.#known.set(adapter, kept)
    return kept
  }
}

function prepare<Values extends readonly unknown[]>(
  build: (values: Values) => Compilable<unknown>,
  values: Values,
): Prepared {
  const standIns = values.map((_, index) => new StandIn(index))
  const query = build(standIns as unknown as Values).compile()
  // Others get what a model fills in when they are compiled, such as the time.
  if (!SelectQueryNode.is(query.query)) throw new TypeError('Only a select can be prepared')
  return { query, parameters: query.parameters }
}

/**
 * A select that is built and compiled once for each database, for what is asked often: a call only brings its values, and
 * goes through the same connections, transactions and limits as every other query.
 *
 * @param build makes the query. It gets a stand-in for each value, to be used where the value would be: it may be compared
 *   with a column, and not be looked at
 * @returns selects the rows, in a database or in a transaction
 * @throws {TypeError} when it is called first, where `build` looks at a value, or makes no select
 */
export function prepareQuery<Values extends readonly unknown[], Found>(
  build: (db: Database, ...values: Values) => Compilable<Found>,
): (db: Database, ...values: Values) => Promise<Found[]> {
  const queries = new PreparedQueries()
  return (db, ...values) =>
    queries.run(db, '', values, (values) => build(db, ...values)) as Promise<Found[]>
}
