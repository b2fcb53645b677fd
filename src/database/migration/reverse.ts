import type { Operation } from './operations.ts'

/** The operation that takes `operation` back; `undefined` where it cannot be. */
export function reverse(operation: Operation): Operation | undefined {
  switch (operation.type) {
    case 'createTable':
      return { ...operation, type: 'dropTable' }
    case 'dropTable':
      return { ...operation, type: 'createTable' }
    case 'addColumn':
      return { ...operation, type: 'dropColumn' }
    case 'dropColumn':
      return { ...operation, type: 'addColumn' }
    case 'addIndex':
      return { ...operation, type: 'dropIndex' }
    case 'dropIndex':
      return { ...operation, type: 'addIndex' }
    case 'addUnique':
      return { ...operation, type: 'dropUnique' }
    case 'dropUnique':
      return { ...operation, type: 'addUnique' }
    case 'addForeignKey':
      return { ...operation, type: 'dropForeignKey' }
    case 'dropForeignKey':
      return { ...operation, type: 'addForeignKey' }
    case 'renameTable':
    case 'renameColumn':
    case 'alterColumn':
      return { ...operation, from: operation.to, to: operation.from } as Operation
    case 'runSql':
      return operation.down === undefined ? undefined : reverseSql(operation, operation.down)
    case 'runData':
      return operation.down && { type: 'runData', up: operation.down, down: operation.up }
  }
}

/** The operations that take all of `operations` back, in their order; `undefined` where one cannot be. */
export function reverseAll(operations: readonly Operation[]): Operation[] | undefined {
  const back = operations.toReversed().map(reverse)
  return back.every((one) => one !== undefined) ? back : undefined
}

type RunSql = Extract<Operation, { type: 'runSql' }>

function reverseSql(
  { up, state }: RunSql,
  down: NonNullable<RunSql['down']>,
): Operation | undefined {
  if (!state) return { type: 'runSql', up: down, down: up }
  const back = reverseAll(state)
  return back && { type: 'runSql', up: down, down: up, state: back }
}
