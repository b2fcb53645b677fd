import { Type } from 'typebox'
import { inBatches } from '../database/insert.ts'
import { defineModel } from '../database/model/define.ts'
import type { Model } from '../database/model/types.ts'
import type { Context } from '../resource/context.ts'
import { toJson } from '../schema/json.ts'
import { hasSecrets } from '../schema/json-schema.ts'
import { type AnyTables, pick, type Values } from './model-write.ts'

const image = (description: string) =>
  Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description }))

const asLog = <M extends Model>(model: M): M => ({ ...model, isLog: true })

/**
 * What was done to the rows of models with `audit: 'log'`: a service that has one lists this model beside it. Who did it, and when, are
 * its audit columns.
 */
export const AuditLog = asLog(
  defineModel('audit_log', {
    columns: {
      id: Type.Integer({ minimum: 1 }),
      table_name: Type.String({ maxLength: 64 }),
      row_key: Type.String({ maxLength: 255, description: 'As in a path: `7`, `paris/42`' }),
      action: Type.Enum(['create', 'change', 'delete']),
      before: image('What was changed, as it was; of a row that was deleted all of it'),
      after: image('What was changed, as it is then; of a new row all of it'),
      request_id: Type.String({ maxLength: 128 }),
    },
    generated: ['id'],
    indexes: [['table_name', 'row_key'], ['created_by'], ['created_at'], ['request_id']],
    audit: ['created_at', 'created_by'],
  }),
)

/** What has become of a row: without `before` it is new, without `after` it is gone. */
export interface Change {
  before?: Readonly<Record<string, unknown>> | undefined
  after?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Writes changes of rows into the audit log, in the transaction that the code under way is in; the resources of a model with
 * `audit: 'log'` do it by themselves. Secrets are `***`, and a change of audit columns alone is none.
 *
 * @param changes whole rows, as they are read: `selectFrom('order').select(Order.columns)`
 */
export async function logChanges(
  context: Context,
  model: Model,
  changes: readonly Change[],
): Promise<void> {
  await writeChanges(context, model, changes, secretsOf(model))
}

/** The columns that are marked as secret. */
export function secretsOf({ schema }: Model): string[] {
  return Object.entries(schema.properties).flatMap(([name, one]) =>
    hasSecrets([one as never]) ? [name] : [],
  )
}

/** @param secrets the columns whose values are not written */
export async function writeChanges(
  context: Context,
  model: Model,
  changes: readonly Change[],
  secrets: readonly string[],
): Promise<void> {
  const request_id = context.requestId.slice(0, 128)
  const entries = changes.flatMap((change) => {
    const images = imagesOf(change, model, secrets)
    const row = change.before ?? change.after ?? {}
    return images
      ? [{ table_name: model.table, row_key: keyOf(row, model), request_id, ...images }]
      : []
  })
  const db = context.db as unknown as AnyTables
  for (const batch of inBatches(entries, MANY))
    await db.insertInto(AuditLog.table).values(batch).execute()
}

const MANY = 500

function imagesOf({ before, after }: Change, model: Model, secrets: readonly string[]) {
  const isChange = before !== undefined && after !== undefined
  const names = model.columns.filter(
    (name) => !isChange || (!isFilled(name, model) && textOf(before[name]) !== textOf(after[name])),
  )
  if (names.length === 0) return undefined
  const image = (row: Change['before']) => row && textOf(redact(pick(row, names), secrets))
  return {
    action: isChange ? 'change' : before ? 'delete' : 'create',
    before: image(before) ?? null,
    after: image(after) ?? null,
  }
}

function isFilled(name: string, { audit }: Model): boolean {
  return (audit as readonly string[]).includes(name)
}

function redact(row: Values, secrets: readonly string[]): Values {
  const entries = Object.entries(row).map(([name, value]) => [
    name,
    value === null || !secrets.includes(name) ? shorten(value) : '***',
  ])
  return Object.fromEntries(entries)
}

const shorten = (value: unknown): unknown =>
  value instanceof Uint8Array ? `${value.length} bytes` : value

/** As JSON, in which a text is what no number says exactly. */
export function textOf(value: unknown): string {
  return JSON.stringify(toJson(value, false, (n) => (isExact(n) ? Number(n) : String(n)))) ?? 'null'
}

const isExact = (value: bigint): boolean => Number.isSafeInteger(Number(value))

function keyOf(row: NonNullable<Change['before']>, { state }: Model): string {
  const parts = state.primaryKey.map((name) =>
    String(row[name]).replace(/[%/]/g, encodeURIComponent),
  )
  return parts.join('/').slice(0, 255)
}
