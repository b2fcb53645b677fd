import { normalColumn, normalForeignKey, normalIndex, normalTable } from './diff/normal.ts'
import type { SchemaOperation } from './diff.ts'
import { Call, print } from './render/print.ts'

/** A migration's file, as a person would have written it. */
export function render(operations: readonly SchemaOperation[]): string {
  const makers = new Set(['defineMigration', ...operations.map(({ type }) => type)])
  const migration = new Call('export default defineMigration', [operations.map(toCall)])
  return `${importOf([...makers].sort())}\n\n${print(migration, 'typescript')}\n`
}

/** A migration's file for steps that are written by hand. */
export const EMPTY_MIGRATION = `import { defineMigration } from 'plinth/migration'

export default defineMigration([
  // Steps in SQL or in code are runSql and runData of 'plinth/migration'. One without down cannot be
  // taken back. Then run manage makemigrations --rebuild.
  //
  // runSql({
  //   up: "update city set kind = 'town' where kind is null",
  //   down: [],
  // }),
  // runData({
  //   up: (db) => db.updateTable('city').set({ kind: 'town' }).where('kind', 'is', null).execute(),
  // }),
])
`

function importOf(names: readonly string[]): string {
  const line = `import { ${names.join(', ')} } from 'plinth/migration'`
  if (line.length <= 100) return line
  return `import {\n${names.map((name) => `  ${name},\n`).join('')}} from 'plinth/migration'`
}

function toCall(operation: SchemaOperation): Call {
  return new Call(operation.type, argumentsOf(operation))
}

function argumentsOf(operation: SchemaOperation): unknown[] {
  switch (operation.type) {
    case 'createTable':
    case 'dropTable':
      return [operation.table, normalTable(operation.definition)]
    case 'renameTable':
      return [operation.from, operation.to]
    case 'addColumn':
    case 'dropColumn':
      return [
        operation.table,
        operation.column,
        normalColumn(operation.definition),
        ...(operation.fill === undefined ? [] : [{ fill: operation.fill }]),
      ]
    case 'alterColumn':
      return [
        operation.table,
        operation.column,
        {
          from: normalColumn(operation.from),
          to: normalColumn(operation.to),
          ...(operation.fill !== undefined && { fill: operation.fill }),
        },
      ]
    case 'renameColumn':
      return [operation.table, operation.from, operation.to]
    case 'addIndex':
    case 'dropIndex':
    case 'addUnique':
    case 'dropUnique':
      return [operation.table, normalIndex(operation.index)]
    case 'addForeignKey':
    case 'dropForeignKey':
      return [operation.table, normalForeignKey(operation.foreignKey)]
  }
}
