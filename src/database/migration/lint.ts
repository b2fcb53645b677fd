import type { SchemaState } from '../schema/state.ts'
import type { Migration } from './index.ts'
import { definitionOf, describe, replay, reverse } from './operations/index.ts'
import type { Algorithms, Code, Operation } from './operations/operation.ts'

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

// ---- what does harm

/** Why a change does harm while the release before it still runs, and what to do instead. */
interface Rule {
  readonly problem: string
  readonly remedy: string
}

/** What the lint knows, by the codes that a migration may accept. */
export const rules: Readonly<Record<Code, Rule>> = {
  'drop-table': {
    problem: 'The release that is running may still use the table.',
    remedy: 'Release code that does not use it first. Drop it in a later release.',
  },
  'drop-column': {
    problem: 'The release that is running may still read or write the column.',
    remedy:
      'First make it nullable and release code that does not use it. Drop it in a later release.',
  },
  'rename-table': {
    problem: 'The release that is running knows the table by its old name only.',
    remedy:
      'Create the new table beside it, write to both and copy the rows with runData. Drop the old one in a later release.',
  },
  'rename-column': {
    problem: 'The release that is running knows the column by its old name only.',
    remedy:
      'Add the new column beside it, write to both and copy the values with runData. Drop the old one in a later release.',
  },
  'not-null-without-default': {
    problem:
      'Rows may have no value for it, and inserts of the release that is running give it none.',
    remedy:
      'Add it as nullable or with a default. Make it not null, with a value for rows that have none (--fill), in a later release.',
  },
  'narrow-type': {
    problem:
      'Values that are there may not fit, and the release that is running may write more of them.',
    remedy:
      'First release code that writes only what fits, and mend the rest with runData. Change the column in a later release.',
  },
  'change-type': {
    problem: 'MySQL writes the whole table anew, and nobody can write to it meanwhile.',
    remedy:
      'Add a column of the new type, write to both and copy the values with runData. Drop the old one in a later release. Accept it for a small table.',
  },
  'add-check': {
    problem:
      'MySQL and MariaDB write the whole table anew to try a check on its rows, and nobody can write to it meanwhile.',
    remedy:
      'Apply it when there is little traffic. For a list that grows, let the API alone check it: column(schema, { check: false }). Accept it for a small table.',
  },
  'add-unique': {
    problem:
      'Values that are there twice make it fail, and the release that is running may write more of them. The whole table is read.',
    remedy:
      'First release code that writes none twice, and mend the rest with runData. Add it in a later release.',
  },
  'add-index': {
    problem:
      'The whole table is read. SQLite lets nobody write meanwhile; MySQL does, where it can build with ALGORITHM=INPLACE, LOCK=NONE.',
    remedy:
      'Apply it when there is little traffic. Build it on a very large table with an online schema change, then manage migrate --fake.',
  },
  'add-foreign-key': {
    problem:
      'Each row is checked, and nobody can write to either table meanwhile. Rows that refer to nothing make it fail.',
    remedy:
      'First release code that writes no such rows, and mend the rest with runData. Apply it when there is little traffic.',
  },
  'raw-sql': {
    problem: 'What the SQL does is not looked into.',
    remedy: 'Look through it for what the other codes warn of, then accept it.',
  },
  irreversible: {
    problem: 'manage migrate rollback cannot take it back.',
    remedy: 'Give the step a down, or accept it.',
  },
}
