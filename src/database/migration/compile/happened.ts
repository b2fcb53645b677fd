import { quoteText } from '../../dialect/ddl.ts'

/** A condition in MySQL's SQL. */
type Fact = string

const text = (value: string) => quoteText(value, 'mysql')

export const tableExists = (table: string): Fact => exists('tables', table)

export const columnExists = (table: string, column: string): Fact =>
  exists('columns', table, `column_name = ${text(column)}`)

/** Upper and lower case differ, so that a rename that changes nothing else can be seen. */
export const exactColumnExists = (table: string, column: string): Fact =>
  exists('columns', table, `cast(column_name as binary) = ${text(column)}`)

export const indexExists = (table: string, index: string): Fact =>
  exists('statistics', table, `index_name = ${text(index)}`)

export const constraintExists = (
  table: string,
  name: string,
  type: 'CHECK' | 'FOREIGN KEY',
): Fact =>
  exists(
    'table_constraints',
    table,
    `constraint_type = ${text(type)} and constraint_name = ${text(name)}`,
  )

export const not = (fact: Fact): Fact => `not ${fact}`

/** The query that answers 1 where all of `facts` are so, else 0. */
export function askWhether(...facts: readonly Fact[]): string {
  return `select ${facts.join(' and ')} as happened`
}

function exists(view: string, table: string, condition?: string): Fact {
  const conditions = [
    'table_schema = database()',
    `table_name = ${text(table)}`,
    ...(condition ? [condition] : []),
  ]
  return `exists (select 1 from information_schema.${view} where ${conditions.join(' and ')})`
}
