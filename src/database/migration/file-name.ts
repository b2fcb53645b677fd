import type { SchemaOperation } from './diff.ts'

const MAX = 60

/** What a migration is called by what it does: `add_city_kind`, `change_city_and_country`. */
export function nameFor(operations: readonly SchemaOperation[]): string {
  const [first, ...rest] = withoutCompany(operations)
  const words = first && rest.length === 0 ? nameOne(first) : nameMany(operations)
  return words
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, MAX)
}

/** The number behind the last one that there is: `0004`. */
export function nextNumber(names: readonly string[]): string {
  const last = Math.max(0, ...names.map((name) => Number.parseInt(name, 10)))
  return String(last + 1).padStart(4, '0')
}

/** Without the keys and indexes that only come and go with a column, or that stand in its way. */
function withoutCompany(operations: readonly SchemaOperation[]): SchemaOperation[] {
  const places = new Set(
    operations.flatMap((one) => ('column' in one ? [`${one.table}.${one.column}`] : [])),
  )
  const isCompany = (table: string, columns: readonly string[]) =>
    columns.some((column) => places.has(`${table}.${column}`))
  return operations.filter((one) => {
    if ('index' in one) return !isCompany(one.table, one.index.columns)
    if (!('foreignKey' in one)) return true
    const { columns, table, references } = one.foreignKey
    return !isCompany(one.table, columns) && !isCompany(table, references)
  })
}

function nameOne(operation: SchemaOperation): string {
  switch (operation.type) {
    case 'createTable':
      return `create_${operation.table}`
    case 'dropTable':
      return `drop_${operation.table}`
    case 'renameTable':
      return `rename_${operation.from}_to_${operation.to}`
    case 'renameColumn':
      return `rename_${operation.table}_${operation.from}_to_${operation.to}`
    case 'alterColumn':
      return `change_${operation.table}_${operation.column}`
    case 'addColumn':
      return `add_${operation.table}_${operation.column}`
    case 'dropColumn':
      return `drop_${operation.table}_${operation.column}`
    case 'addIndex':
    case 'addUnique':
      return `add_${operation.index.name}`
    case 'dropIndex':
    case 'dropUnique':
      return `drop_${operation.index.name}`
    case 'addForeignKey':
      return `add_${operation.foreignKey.name}`
    case 'dropForeignKey':
      return `drop_${operation.foreignKey.name}`
  }
}

function nameMany(operations: readonly SchemaOperation[]): string {
  const [first, second, ...rest] = new Set(
    operations.map((one) => (one.type === 'renameTable' ? one.to : one.table)),
  )
  const verb = operations.every(({ type }) => type === 'createTable' || type === 'addForeignKey')
    ? 'create'
    : 'change'
  if (!second) return `${verb}_${first}`
  if (rest.length === 0) return `${verb}_${first}_and_${second}`
  return `${verb}_${first}_and_${rest.length + 1}_more`
}
