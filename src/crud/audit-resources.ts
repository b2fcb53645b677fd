import { Type } from 'typebox'
import { instant } from '../database/portable.ts'
import { errors } from '../errors.ts'
import type { Context } from '../resource/context.ts'
import { defineResource } from '../resource/resource.ts'
import { AuditLog } from './change-log.ts'
import { type ModelAccess, settingsByAction } from './model-access.ts'
import { modelResources } from './model-resources.ts'
import type { AnyTables } from './model-write.ts'

type Access = ModelAccess<typeof AuditLog>

export interface KeptAudit extends Access {
  /** How many days an entry is kept, an integer of at least 1. Default: for ever. */
  keepDays: number
}

/**
 * The resources that read the audit log: `list`, by table, key, user, action, request and time (`order=-id`: the newest first), and
 * `retrieve`.
 * `defineModule({ prefix: '/audit', resources: auditResources() })`. Whoever may call them reads what was changed in every table.
 *
 * With `keepDays` there is `prune`, too, without a route: every night it deletes the entries that are older. What is said of `remove`
 * is said of it.
 *
 * @throws {PlinthError} RESOURCE_INVALID
 */
export function auditResources(options?: Access): Reading
export function auditResources(
  options: KeptAudit,
): Reading & { prune: ReturnType<typeof createPruning> }
export function auditResources({ keepDays, ...access }: Partial<KeptAudit> = {}) {
  const reading = createReading(access)
  return keepDays === undefined ? reading : { ...reading, prune: createPruning(keepDays, access) }
}

type Reading = ReturnType<typeof createReading>

function createReading(access: Access) {
  return modelResources(AuditLog, {
    ...access,
    only: ['list', 'retrieve'],
    noun: 'audit entry',
    list: {
      filters: {
        table: { operator: 'equals', column: 'table_name' },
        key: { operator: 'equals', column: 'row_key' },
        user: { operator: 'equals', column: 'created_by' },
        action: 'equals',
        request: { operator: 'equals', column: 'request_id' },
        since: { operator: 'from', column: 'created_at' },
        until: { operator: 'to', column: 'created_at' },
      },
      order: ['id'],
      count: 'optional',
    },
  })
}

const DAY = 86_400_000

function createPruning(keepDays: number, access: Access) {
  const { table } = AuditLog
  if (!Number.isInteger(keepDays) || keepDays < 1)
    throw errors.RESOURCE_INVALID(
      `of ${table}`,
      `keepDays is ${keepDays}; expected an integer of at least 1`,
    )
  return defineResource({
    summary: 'Delete the audit entries that are no longer kept',
    method: 'POST',
    path: '/prune',
    expose: false,
    response: Type.Object({ deleted: Type.Integer({ minimum: 0 }) }),
    schedule: { cron: '30 3 * * *', jitter: 60_000, missed: 'once' },
    task: { attempts: 3 },
    ...settingsByAction(table, access, undefined).remove,
    perform: async (_, context) => ({
      deleted: await deleteBefore(new Date(Date.now() - keepDays * DAY), context),
    }),
  })
}

/** How many rows one statement deletes: what is written meanwhile waits for no more than these. */
const BATCH = 1000

/** @returns how many there were */
async function deleteBefore(time: Date, context: Context): Promise<number> {
  const db = context.db as unknown as AnyTables
  const oldest = db
    .selectFrom(AuditLog.table)
    .select('id')
    .where('created_at', '<', instant(time))
    .orderBy('created_at')
    .limit(BATCH)
  for (let deleted = 0; ; ) {
    context.throwIfAborted()
    const ids = (await oldest.execute()).map(({ id }) => id)
    if (ids.length === 0) return deleted
    // By their keys: SQLite deletes no first so many.
    const { numDeletedRows } = await db
      .deleteFrom(AuditLog.table)
      .where('id', 'in', ids)
      .executeTakeFirstOrThrow()
    deleted += Number(numDeletedRows)
  }
}
