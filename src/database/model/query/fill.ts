import { randomInt, randomUUID } from 'node:crypto'
import {
  AliasNode,
  ColumnNode,
  ColumnUpdateNode,
  IdentifierNode,
  type InsertQueryNode,
  type OperationNode,
  PrimitiveValueListNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  type TableNode,
  ValueListNode,
  ValueNode,
  ValuesNode,
} from 'kysely'
import { DELETED_AT, type Model } from '../types.ts'

/** Who changes rows, and when. */
export interface Stamp {
  user: string | null
  now: Date
}

/**
 * Adds to an insert what a model fills in and the statement does not say.
 *
 * @throws {TypeError} for rows that come from something that no value can be added to
 */
export function fillInsert(node: InsertQueryNode, model: Model, stamp: Stamp): InsertQueryNode {
  const said = node.columns?.map(({ column }) => column.name) ?? []
  const missing = [...model.audit, ...model.uuids].filter((name) => !said.includes(name))
  const { defaultValues: _, ...rest } = node
  return {
    ...rest,
    columns: [...(node.columns ?? []), ...missing.map(ColumnNode.create)],
    values: fillValues(node.values, { model, stamp, said, missing }),
  }
}

interface Task {
  model: Model
  stamp: Stamp
  /** The columns that the statement names. */
  said: readonly string[]
  missing: readonly string[]
}

function fillValues(values: OperationNode | undefined, task: Task): OperationNode {
  if (values === undefined) return ValuesNode.create([fillRow(ValueListNode.create([]), task)])
  if (ValuesNode.is(values)) {
    return ValuesNode.create(values.values.map((row) => fillRow(row, task)))
  }
  if (SelectQueryNode.is(values) && !values.setOperations && task.said.length > 0) {
    return fillSelect(values, task)
  }
  throw new TypeError(
    `The insert into ${task.model.table} takes its rows from a query that ${task.missing.join(', ')} ` +
      'cannot be added to: name its columns, and select from one query without union, or say these columns, too',
  )
}

function fillRow(
  row: ValueListNode | PrimitiveValueListNode,
  task: Task,
): ValueListNode | PrimitiveValueListNode {
  const added = task.missing.map((name) => makeValue(name, task))
  if (PrimitiveValueListNode.is(row)) {
    return PrimitiveValueListNode.create([...row.values, ...added])
  }
  // Kysely says DEFAULT where another row has the column and this one has not.
  const values = row.values.map((value, i) => {
    const name = value.kind === 'DefaultInsertValueNode' ? task.said[i] : undefined
    return name && isFilled(name, task.model) ? ValueNode.create(makeValue(name, task)) : value
  })
  return ValueListNode.create([...values, ...added.map(ValueNode.create)])
}

function isFilled(name: string, { audit, uuids }: Model): boolean {
  return uuids.includes(name) || (audit as readonly string[]).includes(name)
}

/** What fills a column of one row. */
function makeValue(name: string, { model, stamp }: Task): unknown {
  return model.uuids.includes(name) ? uuidv7() : stampOf(name, stamp)
}

function fillSelect(query: SelectQueryNode, task: Task): SelectQueryNode {
  const { model, missing } = task
  if (missing.some((name) => model.uuids.includes(name)))
    throw new TypeError(
      `The insert into ${model.table} selects rows without ${missing.join(', ')}, and one value cannot be theirs: say it in the query`,
    )
  const added = missing.map((name) =>
    SelectionNode.create(
      AliasNode.create(ValueNode.create(makeValue(name, task)), IdentifierNode.create(name)),
    ),
  )
  return SelectQueryNode.cloneWithSelections(query, added)
}

interface UpdateTask {
  model: Model
  stamp: Stamp
  /** Where the statement is on several tables: the one that is asked for. */
  table?: TableNode | undefined
  /** Whether rows that are flagged are not any more then, unless the statement says itself what they are. */
  revives?: boolean
}

/** Who and when, as far as updates of rows of a model do not say it; nothing where they change nothing. */
export function addedUpdates(
  updates: readonly ColumnUpdateNode[],
  { model, stamp, table, revives = false }: UpdateTask,
): readonly ColumnUpdateNode[] {
  const own = updates.filter(({ column }) => !table || isOf(column, model, table))
  if (own.every(changesNothing)) return []
  const said = own.map(({ column }) => columnName(column))
  const stamped = model.audit.filter((name) => name.startsWith('updated_'))
  const missing = [...stamped, ...(revives ? [DELETED_AT] : [])].filter(
    (name) => !said.includes(name),
  )
  return missing.map((name) =>
    ColumnUpdateNode.create(
      table ? ReferenceNode.create(ColumnNode.create(name), table) : ColumnNode.create(name),
      ValueNode.create(name === DELETED_AT ? null : stampOf(name, stamp)),
    ),
  )
}

function isOf(column: OperationNode, { state }: Model, table: TableNode): boolean {
  if (ReferenceNode.is(column) && column.table)
    return column.table.table.identifier.name === table.table.identifier.name
  return (columnName(column) ?? '') in state.columns
}

function stampOf(name: string, { user, now }: Stamp): Date | string | null {
  return name.endsWith('_at') ? now : user
}

// `on duplicate key update id = id`: MySQL's way to leave a row as it is.
function changesNothing({ column, value }: ColumnUpdateNode): boolean {
  return columnName(column) === columnName(value)
}

function columnName(node: OperationNode): string | undefined {
  if (ColumnNode.is(node)) return node.column.name
  return ReferenceNode.is(node) ? columnName(node.column) : undefined
}

// ---- UUIDs

// What the last one had: later ones of this process sort after it, even if the clock is set back.
let time = 0
let counter = 0

/**
 * A new UUID of version 7 (RFC 9562, 5.7): it begins with the time, so that new rows lie side by side in an
 * index, and those of one process sort in the order in which they were made (6.2, method 1).
 */
export function uuidv7(now = Date.now()): string {
  step(now)
  const milliseconds = time.toString(16).padStart(12, '0')
  const count = counter.toString(16).padStart(3, '0')
  // From here on a UUID of version 4 is the same: the variant, then random bits.
  const random = randomUUID().slice(18)
  return `${milliseconds.slice(0, 8)}-${milliseconds.slice(8)}-7${count}${random}`
}

/** The counter has 12 bits and starts in its lower half; when it is used up, the time goes on by itself. */
function step(now: number): void {
  if (now > time || counter === 0xfff) {
    time = Math.max(now, time + 1)
    counter = randomInt(0x800)
  } else {
    counter++
  }
}
