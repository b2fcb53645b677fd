import { type Kysely, type KyselyPlugin, type OperationNode, RawNode } from 'kysely'
import type { DialectName } from '../schema/state.ts'
import type { DataStep, MigrationDatabase } from './operations.ts'
import type { MigrationTables } from './recorder.ts'

/**
 * Runs a migration's own code in the transaction it is given.
 *
 * @throws {Error} where it changes the schema: MySQL would commit what has been done so far
 */
export async function runDataStep(
  step: DataStep,
  transaction: Kysely<MigrationTables>,
  dialect: DialectName,
): Promise<void> {
  const db = transaction.withPlugin(rowsOnly) as unknown as MigrationDatabase
  await step(db, dialect)
}

const rowsOnly: KyselyPlugin = {
  transformQuery({ node }) {
    if (changesSchema(node)) {
      throw new Error(
        'runData changes rows only, in one transaction; change the schema with an operation of its own, or with runSql',
      )
    }
    return node
  },
  transformResult: async ({ result }) => result,
}

const SCHEMA_NODE = /^(?:Create|Alter|Drop|Refresh|Truncate)/
// Also what else ends a transaction of MySQL (manual, "Statements That Cause an Implicit Commit"). A comment that begins with ! is none there.
const SCHEMA_SQL =
  /^(?:\/\*M?!|(?:create|alter|drop|rename|truncate|lock|unlock|begin|start|commit|rollback|grant|revoke|analyze|optimize|repair|flush|install|uninstall|set\s+(?:\S+[. ])?@{0,2}autocommit)\b)/i
const SPACE = /^(?:\s|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|\/\*(?!M?!)[\s\S]*?\*\/)+/

function changesSchema(node: OperationNode): boolean {
  if (RawNode.is(node)) return SCHEMA_SQL.test(beginOf(node).replace(SPACE, ''))
  return SCHEMA_NODE.test(node.kind)
}

/** Its SQL up to the first part that is a value or a name; a part may be SQL, too: `sql.raw(…)`. */
function beginOf({ sqlFragments, parameters }: RawNode): string {
  let text = ''
  for (const [i, fragment] of sqlFragments.entries()) {
    text += fragment
    const part = parameters[i]
    if (!part || !RawNode.is(part)) return text
    text += beginOf(part)
  }
  return text
}
