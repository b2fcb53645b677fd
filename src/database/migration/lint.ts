import type { SchemaState } from '../schema/state.ts'
import { type Code, rules } from './lint-rules.ts'
import {
  definitionOf,
  describe,
  type Migration,
  type Operation,
  replay,
  reverse,
} from './operations/index.ts'
import type { Algorithms } from './operations/operation.ts'

/** What does harm in a rolling deployment, while the release before still runs. */
export interface LintFinding {
  /** To be named in `accept` of the migration, which silences it. */
  readonly code: Code | 'unknown-code'
  /** A table, `table.column`, the name of an index or foreign key, `step 3` or the code in `accept`. */
  readonly place: string
  readonly problem: string
  readonly remedy: string
  /** How MySQL 8 and MariaDB do it. */
  readonly algorithms?: Algorithms
}

type Linted = Pick<Migration, 'operations' | 'accept'>

/**
 * Looks for what does harm while the release before still runs. What happens to a table that the migration
 * itself creates is harmless.
 *
 * @param before the schema before the migration
 */
export function lintMigration({ operations, accept }: Linted, before: SchemaState): LintFinding[] {
  const used = new Set(Object.keys(before))
  let schema = before
  const found = operations.flatMap((operation, i) => {
    const algorithms = algorithmsOf(operation, schema)
    schema = followed(schema, operation)
    const codes = isOnUsed(operation, used) ? codesOf(operation) : []
    const place = definitionOf(operation).place(operation) ?? `step ${i + 1}`
    return codes
      .filter((code) => !accept.includes(code))
      .map((code) => finding(code, place, algorithms))
  })
  return [...found, ...accept.filter((code) => !(code in rules)).map(unknownCode)]
}

/** What the lint says of each of `migrations` for which `isWanted`; those before have to be there, too. */
export function lintMigrations<M extends Linted>(
  migrations: readonly M[],
  isWanted: (migration: M) => boolean,
  before: SchemaState = {},
): (readonly [migration: M, finding: LintFinding])[] {
  let schema = before
  return migrations.flatMap((migration) => {
    const findings = isWanted(migration) ? lintMigration(migration, schema) : []
    schema = migration.operations.reduce(replay, schema)
    return findings.map((one) => [migration, one] as const)
  })
}

/**
 * Whether an operation is on a table that the release before may use; a step by hand may be on any. A table keeps its users under
 * another name, and loses them when it is dropped.
 *
 * @param used those tables, which are then as they are behind the operation
 */
function isOnUsed(operation: Operation, used: Set<string>): boolean {
  const { before, after } = definitionOf(operation).tables(operation)
  if (before === undefined) return true
  const isUsed = used.delete(before)
  if (isUsed && after !== undefined) used.add(after)
  return isUsed
}

function codesOf(operation: Operation): readonly Code[] {
  const codes = definitionOf(operation).lint(operation)
  return reverse(operation) ? codes : [...codes, 'irreversible']
}

function finding(code: Code, place: string, algorithms: Algorithms | undefined): LintFinding {
  const { problem, remedy } = rules[code]
  if (!algorithms) return { code, place, problem, remedy }
  const { mysql, mariadb } = algorithms
  const how = `It is ${mysql} on MySQL 8, and ${mariadb} on MariaDB.`
  return { code, place, problem: `${problem} ${how}`, remedy, algorithms }
}

/** How MySQL and MariaDB do an operation, from the schema before it. */
export function algorithmsOf(operation: Operation, before: SchemaState): Algorithms | undefined {
  const { algorithms, tables } = definitionOf(operation)
  return algorithms(operation, before[tables(operation).before ?? ''])
}

/** What does not fit is told where it is applied. */
function followed(schema: SchemaState, operation: Operation): SchemaState {
  try {
    return replay(schema, operation)
  } catch {
    return schema
  }
}

/** How MySQL 8 and MariaDB do each operation, in words that say which. */
export function statementsOf(
  operations: readonly Operation[],
  before: SchemaState,
): (Algorithms & { readonly change: string })[] {
  let schema = before
  return operations.flatMap((operation) => {
    const algorithms = algorithmsOf(operation, schema)
    schema = followed(schema, operation)
    return algorithms ? [{ change: describe(operation), ...algorithms }] : []
  })
}

function unknownCode(code: string): LintFinding {
  return {
    code: 'unknown-code',
    place: code,
    problem: 'The migration accepts a code that there is not.',
    remedy: `Take it out, or name one of ${Object.keys(rules).join(', ')}.`,
  }
}
