import { type Kysely, type KyselyPlugin, type OperationNode, RawNode } from 'kysely'
import type { DialectName } from '../schema/state.ts'
import type { DataStep, MigrationDatabase } from './operations.ts'
import type { MigrationTables } from './record.ts'

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
const SCHEMA_SQL = /^\s*(?:create|alter|drop|rename|truncate|lock|begin|start|commit|rollback)\b/i

function changesSchema(node: OperationNode): boolean {
  if (RawNode.is(node)) return SCHEMA_SQL.test(node.sqlFragments[0] ?? '')
  return SCHEMA_NODE.test(node.kind)
}
