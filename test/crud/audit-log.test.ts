import type { Kysely } from 'kysely'
import t from 'tap'
import { Type } from 'typebox'
import { secret } from '../../src/config/secret.ts'
import { auditResources } from '../../src/crud/audit-resources.ts'
import { AuditLog, logChanges } from '../../src/crud/change-log.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { assertModels } from '../../src/database/model/check.ts'
import { defineModel } from '../../src/database/model/define.ts'
import type { Tables } from '../../src/database/model/types.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { onEveryDatabase } from './rows-of.ts'

const text = Type.String({ maxLength: 40 })
const Member = defineModel('member', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    team: text,
    name: text,
    points: Type.Integer({ default: 0 }),
    tags: Type.Optional(Type.Array(Type.String())),
    joined: Type.Optional(Type.String({ format: 'date-time' })),
    token: Type.Optional(secret(text)),
    pin: Type.String({ maxLength: 40 }),
    note: Type.Optional(text),
  },
  generated: ['id'],
  unique: [['name']],
  audit: 'log',
  softDelete: true,
})
const Seat = defineModel('seat', {
  columns: { room: text, place: text, taken: Type.Boolean() },
  primaryKey: ['room', 'place'],
  audit: ['log'],
})
const models = [Member, Seat, AuditLog] as const
type Db = Kysely<Tables<typeof models>>

const members = modelResources(Member, {
  scope: ({ user }, query) => query.where('team', '=', user.id.slice(0, 1)),
  fields: { hidden: ['note'], writeOnly: ['pin'] },
})
const give = defineResource({
  summary: 'Points for all',
  method: 'POST',
  path: '/points',
  async perform(_, context) {
    const db = context.db as unknown as Db
    const read = () => db.selectFrom('member').select(Member.columns).orderBy('id').execute()
    const before = await read()
    await db.updateTable('member').set({ points: 5 }).execute()
    const after = await read()
    await logChanges(
      context,
      Member,
      before.map((row, i) => ({ before: row, after: after[i] })),
    )
    return null
  },
})
const modules = {
  members: defineModule({ prefix: '/members', resources: { ...members, give } }),
  seats: defineModule({ prefix: '/seats', resources: modelResources(Seat) }),
  audit: defineModule({ prefix: '/audit', resources: auditResources() }),
}

const onBoth = (name: string, test: Parameters<typeof onEveryDatabase>[3]) =>
  onEveryDatabase(t, name, { models, modules }, test)

/** What the log says, without who and when and in which request. */
const entries = async ({ db }: { db: unknown }) => {
  const rows = await (db as Db)
    .selectFrom('audit_log')
    .select(['table_name', 'row_key', 'action', 'before', 'after'])
    .orderBy('id')
    .execute()
  return rows.map((row) => [row.table_name, row.row_key, row.action, row.before, row.after])
}

const ann = { team: 'a', name: 'Ann', pin: '1234', token: 'secret-1' }

onBoth('each change is told: who, what, before, after, in which request', async (t, as, app) => {
  await as('a1', 'POST', '/members', { ...ann, tags: ['x'] })
  await as('a2', 'PATCH', '/members/1', { name: 'Anna', pin: '9999', token: 'secret-2' })
  await as('a2', 'PUT', '/members/1', { team: 'a', name: 'Anna', pin: '9999' })
  await as('a3', 'DELETE', '/members/1')
  const whole = {
    id: 1,
    team: 'a',
    name: 'Ann',
    points: 0,
    tags: ['x'],
    joined: null,
    token: '***',
    pin: '***',
    note: null,
  }
  const [made = [], changed, replaced, gone = []] = await entries(app)
  const withoutStamps = (image: unknown) => {
    const { created_at, created_by, updated_at, updated_by, ...rest } = image as Record<
      string,
      unknown
    >
    return rest
  }
  t.strictSame(
    [...made.slice(0, 4), withoutStamps(made[4])],
    ['member', '1', 'create', null, whole],
  )
  t.strictSame(changed, [
    'member',
    '1',
    'change',
    { name: 'Ann', token: '***', pin: '***' },
    { name: 'Anna', token: '***', pin: '***' },
  ])
  t.strictSame(replaced, [
    'member',
    '1',
    'change',
    { tags: ['x'], token: '***' },
    { tags: null, token: null },
  ])
  t.strictSame(
    [...gone.slice(0, 3), withoutStamps(gone[3]), gone[4]],
    ['member', '1', 'delete', { ...whole, name: 'Anna', tags: null, token: null }, null],
  )
  const log = await (app.db as unknown as Db)
    .selectFrom('audit_log')
    .selectAll()
    .orderBy('id')
    .execute()
  t.strictSame(
    log.map(({ created_by }) => created_by),
    ['a1', 'a2', 'a2', 'a3'],
  )
  t.equal(new Set(log.map(({ request_id }) => request_id)).size, 4)
  t.notMatch(JSON.stringify(log), /secret-|1234|9999/)
})

onBoth('the log is of what was committed', async (t, as, app) => {
  await as('a', 'POST', '/members', ann)
  const before = await entries(app)
  const failures = [
    as('a', 'POST', '/members', ann),
    as('a', 'POST', '/members', { ...ann, team: 'b', name: 'Bo' }),
    as('a', 'POST', '/members/bulk', [
      { ...ann, name: 'Cy' },
      { ...ann, team: 'b', name: 'Di' },
    ]),
    as('a', 'POST', '/members/bulk', [{ ...ann, name: 'Ed' }, ann]),
    as('a', 'PATCH', '/members/1', { team: 'b' }),
    as('b', 'PATCH', '/members/1', { name: 'Bo' }),
    as('b', 'DELETE', '/members/1'),
    as('a', 'PATCH', '/members/9', { name: 'Bo' }),
  ]
  const statuses = (await Promise.all(failures)).map(({ status }) => status)
  t.strictSame(statuses, [409, 403, 403, 409, 403, 404, 404, 404])
  t.match(await as('a', 'PATCH', '/members/1', { name: 'Ann' }), { status: 200 })
  t.strictSame(await entries(app), before, 'nor is what changes nothing')
  t.equal(before.length, 1)
})

onBoth('changes at the same time are told one after the other', async (t, as, app) => {
  await as('a', 'POST', '/members', ann)
  const names = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6']
  await Promise.all(names.map((name) => as('a', 'PATCH', '/members/1', { name })))
  const changes = (await entries(app)).slice(1)
  const told = changes.map((entry) => (entry[4] as { name: string }).name)
  t.strictSame(told.toSorted(), names)
  t.strictSame(
    changes.map((entry) => (entry[3] as { name: string }).name),
    ['Ann', ...told.slice(0, -1)],
    'each begins where the one before has ended',
  )
  t.match(await as('a', 'GET', '/members/1'), { data: { name: told.at(-1) } })
})

onBoth('a change is undone where it cannot be told', async (t, as, app) => {
  const db = app.db as unknown as Db
  await as('a', 'POST', '/members', ann)
  await db.schema.dropTable('audit_log').execute()
  t.match(await as('a', 'PATCH', '/members/1', { name: 'Bo' }), { status: 500 })
  t.match(await as('a', 'DELETE', '/members/1'), { status: 500 })
  t.match(await as('a', 'POST', '/members', { ...ann, name: 'Cy' }), { status: 500 })
  t.match(await as('a', 'GET', '/members'), { data: { total: 1, results: [{ name: 'Ann' }] } })
})

onBoth(
  'many rows, keys of several columns, and changes of a service itself',
  async (t, as, app) => {
    await as('x', 'POST', '/seats/bulk', [
      { room: 'a/b', place: '1%', taken: false },
      { room: 'c', place: '2', taken: true },
    ])
    await as('x', 'PATCH', `/seats/${encodeURIComponent('a/b')}/${encodeURIComponent('1%')}`, {
      taken: true,
    })
    const told = await entries(app)
    t.strictSame(told.map(([, key, action]) => [key, action]).sort(), [
      ['a%2Fb/1%25', 'change'],
      ['a%2Fb/1%25', 'create'],
      ['c/2', 'create'],
    ])
    t.strictSame(told.at(-1)?.slice(3), [{ taken: false }, { taken: true }])
    await as('a', 'POST', '/members/bulk', [ann, { ...ann, name: 'Bo', points: 5 }])
    t.match(await as('a', 'POST', '/members/points'), { status: 200 })
    t.strictSame((await entries(app)).slice(5), [
      ['member', '1', 'change', { points: 0 }, { points: 5 }],
    ])
  },
)

onBoth('the log is read by table, key, user, action, request and time', async (t, as) => {
  await as('a1', 'POST', '/members', ann)
  await as('b1', 'POST', '/members', { ...ann, team: 'b', name: 'Bo' })
  await as('a2', 'PATCH', '/members/1', { name: 'Anna' })
  await as('x', 'POST', '/seats', { room: 'r', place: 'p', taken: true })
  const ids = async (query: string) => {
    const { data } = await as('boss', 'GET', `/audit?${query}`)
    return (data as { results: { id: number }[] }).results.map(({ id }) => id)
  }
  t.strictSame(await ids(''), [1, 2, 3, 4])
  t.strictSame(await ids('order=-id'), [4, 3, 2, 1], 'the newest first')
  t.strictSame(await ids('table=member&key=1'), [1, 3])
  t.strictSame(await ids('user=b1'), [2])
  t.strictSame(await ids('action=change'), [3])
  t.strictSame(await ids('order=-id&table=member'), [3, 2, 1])
  const { data } = await as('boss', 'GET', '/audit/3')
  t.match(data, {
    row_key: '1',
    before: { name: 'Ann' },
    after: { name: 'Anna' },
    created_by: 'a2',
  })
  const { created_at, request_id } = data as { created_at: string; request_id: string }
  t.strictSame(await ids(`request=${encodeURIComponent(request_id)}`), [3])
  t.ok((await ids(`since=${created_at}`)).includes(3))
  t.ok((await ids(`until=${created_at}`)).includes(3))
  t.strictSame(await ids('since=2100-01-01T00:00:00Z'), [])
  t.match(await as('boss', 'DELETE', '/audit/3'), { status: 405 })
})

const kept = auditResources({ keepDays: 30 })

onEveryDatabase(
  t,
  'entries that are no longer kept are deleted',
  {
    models,
    modules: { ...modules, audit: defineModule({ prefix: '/audit', resources: kept }) },
  },
  async (t, as, app) => {
    const db = app.db as unknown as Db
    const made = (ms: number, key: string) => ({
      table_name: 'member',
      row_key: key,
      action: 'change' as const,
      request_id: 'r',
      created_at: new Date(Date.now() - ms),
    })
    const days = 30 * 86_400_000
    const old = Array.from({ length: 2500 }, (_, i) => made(days + 60_000 + i, 'old'))
    await db
      .insertInto('audit_log')
      .values([made(days - 60_000, 'young'), ...old, made(1000, 'new')])
      .execute()
    await as('a', 'POST', '/members', ann)
    t.match(await as('a', 'POST', '/audit/prune'), { status: 405 }, 'no client deletes any')
    t.strictSame(await app.run(() => kept.prune({})), { deleted: 2500 })
    t.strictSame(
      (await entries(app)).map(([, key]) => key),
      ['young', 'new', '1'],
    )
    t.strictSame(await app.run(() => kept.prune({})), { deleted: 0 })
    const given = new AbortController()
    given.abort(new Error('no longer wanted'))
    await t.rejects(
      app.run(() => kept.prune({}, { signal: given.signal })),
      { message: 'no longer wanted' },
    )
  },
)

t.test('entries are kept for ever unless it is said for how long', async (t) => {
  t.strictSame(Object.keys(auditResources()), ['list', 'retrieve'])
  t.match(kept.prune.definition.schedule, { cron: '30 3 * * *', missed: 'once' })
  const access = { auth: { list: 'public', remove: 'required' } } as const
  t.equal(auditResources({ ...access, keepDays: 1 }).prune.definition.auth, 'required')
  for (const keepDays of [0, 1.5, -1, Number.NaN])
    t.throws(() => auditResources({ keepDays }), {
      code: 'RESOURCE_INVALID',
      message: /of audit_log.*keepDays is .*; expected an integer of at least 1/,
    })
})

t.test('a model with a log wants a table for it', async (t) => {
  t.throws(() => assertModels([Member]), {
    code: 'MODEL_INVALID',
    message: /member.*audit: 'log'.*add AuditLog to the models/,
  })
  t.doesNotThrow(() => assertModels([...models]))
  t.strictSame([Member.audit.length, Seat.audit.length], [4, 0])
})
