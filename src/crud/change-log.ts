import { inBatches } from '../database/insert.ts'
import { AuditLog } from '../database/model/audit-log.ts'
import type { Model } from '../database/model/model.ts'
import type { Context } from '../resource/context.ts'
import { toJson } from '../schema/json.ts'
import { hasSecrets } from '../schema/json-schema.ts'
import { type AnyTables, pick, type Values } from './model-write.ts'

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
