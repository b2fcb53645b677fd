import type { SchemaState } from '../schema/state.ts'
import { columnCodes } from './lint/columns.ts'
import { type Code, rules } from './lint/rules.ts'
import type { Migration, Operation } from './operations.ts'
import { replay } from './replay.ts'
import { reverse } from './reverse.ts'

/** What does harm in a rolling deployment, while the release before still runs. */
export interface LintFinding {
  /** To be named in `accept` of the migration, which silences it. */
  readonly code: Code | 'unknown-code'
  /** A table, `table.column`, the name of an index or foreign key, `step 3` or the code in `accept`. */
  readonly place: string
  readonly problem: string
  readonly remedy: string
}

/**
 * Looks for what does harm while the release before still runs. What happens to a table that the migration
 * itself creates is harmless.
 *
 * @param before the schema before the migration
 */
export function lintMigration(
  { operations, accept }: Migration,
  before: SchemaState,
): LintFinding[] {
  const used = new Set(Object.keys(before))
  const found = operations.flatMap((operation, i) => {
    const codes = codesOf(operation, used)
    follow(operation, used)
    const place = placeOf(operation) ?? `step ${i + 1}`
    return codes.filter((code) => !accept.includes(code)).map((code) => finding(code, place))
  })
  return [...found, ...accept.filter((code) => !(code in rules)).map(unknownCode)]
}

/** What the lint says of each of `migrations` for which `isWanted`; those before have to be there, too. */
export function lintMigrations<M extends Migration>(
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

function finding(code: Code, place: string): LintFinding {
  return { code, place, ...rules[code] }
}

function unknownCode(code: string): LintFinding {
  return {
    code: 'unknown-code',
    place: code,
    problem: 'The migration accepts a code that there is not.',
    remedy: `Take it out, or name one of ${Object.keys(rules).join(', ')}.`,
  }
}

/** @param used the tables that the release before may use */
function codesOf(operation: Operation, used: ReadonlySet<string>): Code[] {
  switch (operation.type) {
    case 'runSql':
      return reverse(operation) ? ['raw-sql'] : ['raw-sql', 'irreversible']
    case 'runData':
      return reverse(operation) ? [] : ['irreversible']
    case 'renameTable':
      return used.has(operation.from) ? ['rename-table'] : []
    default:
      return used.has(operation.table) ? tableCodes(operation) : []
  }
}

function tableCodes(
  operation: Exclude<Operation, { type: 'runSql' | 'runData' | 'renameTable' }>,
): Code[] {
  switch (operation.type) {
    case 'dropTable':
      return ['drop-table']
    case 'dropColumn':
      return ['drop-column']
    case 'renameColumn':
      return ['rename-column']
    case 'addIndex':
      return ['add-index']
    case 'addUnique':
      return ['add-unique']
    case 'addForeignKey':
      return ['add-foreign-key']
    case 'addColumn':
      return columnCodes(undefined, operation.definition)
    case 'alterColumn':
      return columnCodes(operation.from, operation.to)
    default:
      return []
  }
}

/** A table keeps its users under another name, and loses them when it is dropped. */
function follow(operation: Operation, used: Set<string>): void {
  if (operation.type === 'dropTable') used.delete(operation.table)
  if (operation.type === 'renameTable' && used.delete(operation.from)) used.add(operation.to)
}

/** `undefined` for a step, which has no place but its own. */
function placeOf(operation: Operation): string | undefined {
  switch (operation.type) {
    case 'runSql':
    case 'runData':
      return undefined
    case 'renameTable':
      return operation.from
    case 'renameColumn':
      return `${operation.table}.${operation.from}`
    case 'addColumn':
    case 'dropColumn':
    case 'alterColumn':
      return `${operation.table}.${operation.column}`
    case 'addIndex':
    case 'dropIndex':
    case 'addUnique':
    case 'dropUnique':
      return operation.index.name
    case 'addForeignKey':
    case 'dropForeignKey':
      return operation.foreignKey.name
    default:
      return operation.table
  }
}
