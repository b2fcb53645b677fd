import { type KyselyPlugin, sql } from 'kysely'
import t, { type Test } from 'tap'
import { afterCommit } from '../../src/database/current-transaction.ts'
import { readSchema } from '../../src/database/inspect/differences.ts'
import {
  addToOutbox,
  countOutbox,
  findInOutbox,
  prepareOutbox,
  type Send,
  type StoredMessage,
  sendFromOutbox,
} from '../../src/task/outbox.ts'
import { startRelay } from '../../src/task/relay.ts'
import {
  type AnyDatabase,
  type Fixture,
  onEveryDatabase,
  onMysql,
  open,
  tablesOf,
} from '../database/fixture.ts'
import { execute } from '../servers/mysql.ts'
import { until } from '../suites/task-fixture.ts'
import { FakeLog } from '../task/fake-driver.ts'

const message = (id: string, payload: unknown = { n: 1 }, kind = 'task') => ({ id, kind, payload })

/** Delivers all. */
const accept: Send = async (messages) => ({ delivered: messages.map(({ id }) => id), refused: [] })

/** What `sendFromOutbox` hands out; all of it stays. */
async function waiting(db: AnyDatabase, limit = 100, kind = 'task'): Promise<StoredMessage[]> {
  let seen: readonly StoredMessage[] = []
  await sendFromOutbox(db, kind, limit, async (messages) => {
    seen = messages
    return { delivered: [], refused: [] }
  })
  return [...seen]
}

const ids = (messages: readonly StoredMessage[]) => messages.map(({ id }) => id)

/** Runs with a table that is there. */
function withOutbox(name: string, test: (t: Test, fixture: Fixture) => Promise<void>): void {
  onEveryDatabase(t, name, async (t, fixture) => {
    await prepareOutbox(fixture.db)
    await test(t, fixture)
  })
}

onEveryDatabase(t, 'many processes prepare it at once', async (t, { db, url }) => {
  const others = await Promise.all(Array.from({ length: 5 }, () => open(t, url)))
  await Promise.all([db, ...others].map((db) => prepareOutbox(db)))
  await addToOutbox(db, [message('a')])
  await prepareOutbox(db)
  t.strictSame(await countOutbox(db), { waiting: 1, failed: 0 })
})

withOutbox('is none of the service’s tables', async (t, { db }) => {
  t.strictSame(await readSchema(db), { schema: {}, notes: [], unmanaged: {} })
  t.strictSame(await tablesOf(db), [])
})

onMysql(t, 'says what to do where no table may be created', async (t, { db, url }) => {
  const user = `u${Math.random().toString(36).slice(2, 10)}`
  const { host, pathname } = new URL(url)
  const database = pathname.slice(1)
  await execute(url, `create user '${user}'@'%' identified by 'x'`)
  t.teardown(() => execute(url, `drop user '${user}'@'%'`))
  await execute(url, `grant select, insert, update, delete on ${database}.* to '${user}'@'%'`)
  const limited = await open(t, `mysql://${user}:x@${host}${pathname}`)
  await t.rejects(prepareOutbox(limited), {
    code: 'OUTBOX_MISSING',
    message: /CREATE command denied/,
  })
  await prepareOutbox(db)
  await prepareOutbox(limited)
  await addToOutbox(limited, [message('a')])
  t.equal(await sendFromOutbox(limited, 'task', 10, accept), 1)
})

withOutbox('keeps messages as they are, in their order', async (t, { db }) => {
  const payload = { text: 'ä € 😀 \\ \' "', list: [1, null, true, 1.5], deep: { a: {} } }
  await addToOutbox(db, [message('b', payload), message('a', 'x'.repeat(200_000))])
  await addToOutbox(db, [message('B'), message('c', 1, 'other')])
  const messages = await waiting(db)
  t.strictSame(ids(messages), ['b', 'a', 'B'])
  t.strictSame(JSON.parse(messages[0]?.payload ?? ''), payload)
  t.equal(messages[1]?.payload.length, 200_002)
  t.equal(messages[0]?.attempts, 0)
  t.ok(Math.abs(Date.parse(messages[0]?.created_at ?? '') - Date.now()) < 10_000)
  t.strictSame(ids(await waiting(db, 1)), ['b'])
  t.strictSame(ids(await waiting(db, 10, 'other')), ['c'])
  t.strictSame(ids(await waiting(db, 10, 'none')), [])
})

withOutbox('finds one', async (t, { db }) => {
  await addToOutbox(db, [message('a', { n: 7 })])
  t.equal(await findInOutbox(db, 'task', 'a'), '{"n":7}')
  t.equal(await findInOutbox(db, 'task', 'A'), undefined)
  t.equal(await findInOutbox(db, 'other', 'a'), undefined)
  await db.transaction().execute(async () => {
    await addToOutbox(db, [message('b')])
    t.equal(await findInOutbox(db, 'task', 'b'), '{"n":1}', 'that of its own transaction, too')
  })
})

withOutbox('adding an id twice is adding it once', async (t, { db }) => {
  await addToOutbox(db, [message('a', 1)])
  await addToOutbox(db, [message('a', 2), message('b', 3)])
  const payloads = (await waiting(db)).map(({ id, payload }) => [id, payload])
  t.strictSame(payloads, [
    ['a', '1'],
    ['b', '3'],
  ])
  await addToOutbox(db, [])
  t.strictSame(await countOutbox(db), { waiting: 2, failed: 0 })
})

withOutbox('has what was committed, and nothing else', async (t, { db }) => {
  await db.transaction().execute(async () => {
    await addToOutbox(db, [message('kept')])
  })
  await t.rejects(
    db.transaction().execute(async (transaction) => {
      await addToOutbox(db, [message('lost')])
      await addToOutbox(transaction, [message('lost, too')])
      throw new Error('undo')
    }),
    /undo/,
  )
  t.strictSame(ids(await waiting(db)), ['kept'])
})

withOutbox('what was delivered is gone', async (t, { db }) => {
  await addToOutbox(db, [message('a'), message('b'), message('c')])
  const count = await sendFromOutbox(db, 'task', 2, async () => ({ delivered: ['b'], refused: [] }))
  t.equal(count, 2)
  t.strictSame(ids(await waiting(db)), ['a', 'c'])
  t.equal(await sendFromOutbox(db, 'task', 10, accept), 2)
  t.equal(await sendFromOutbox(db, 'task', 10, () => t.fail('there is none') as never), 0)
})

withOutbox('what was refused is kept with its problem', async (t, { db }) => {
  await addToOutbox(db, [message('a'), message('b')])
  const refuse = (final: boolean, problem: string) =>
    sendFromOutbox(db, 'task', 1, async () => {
      return { delivered: [], refused: [{ id: 'a', problem, final }] }
    })
  await refuse(false, 'not now')
  t.match(await waiting(db), [
    { id: 'a', attempts: 1 },
    { id: 'b', attempts: 0 },
  ])
  await refuse(true, `never ${'x'.repeat(100_000)}`)
  t.strictSame(ids(await waiting(db)), ['b'])
  t.strictSame(await countOutbox(db), { waiting: 1, failed: 1 })
  const row = await db
    .selectFrom('plinth_outbox')
    .selectAll()
    .where('id', '=', 'a')
    .executeTakeFirst()
  t.match(row, { attempts: 2, payload: '{"n":1}', problem: /^never x{994}$/, failed_at: String })
})

withOutbox('all stay when sending fails', async (t, { db }) => {
  await addToOutbox(db, [message('a'), message('b')])
  const failure = new Error('Redis is away')
  await t.rejects(
    sendFromOutbox(db, 'task', 10, async () => {
      throw failure
    }),
    failure,
  )
  t.match(await waiting(db), [
    { id: 'a', attempts: 0 },
    { id: 'b', attempts: 0 },
  ])
})

withOutbox('a relay takes what was committed to where it belongs', async (t, { db }) => {
  const delivered: unknown[] = []
  const all = Promise.withResolvers<void>()
  const relay = startRelay({
    outbox: { send: (limit, send) => sendFromOutbox(db, 'task', limit, send) },
    async deliver(messages) {
      if (delivered.push(...messages.map(({ payload }) => payload)) === 3) all.resolve()
    },
    // It is poked.
    interval: 3_600_000,
    log: new FakeLog(),
  })
  const add = async (n: number) => {
    await addToOutbox(db, [message(`${n}`, { n })])
    afterCommit(db, () => relay.poke(), t.error)
  }
  await add(1)
  const failing = db.transaction().execute(async () => {
    await add(2)
    throw new Error('undo')
  })
  await t.rejects(failing, /undo/)
  await db.transaction().execute(async () => {
    await add(3)
    await add(4)
  })
  await all.promise
  await relay.stop()
  t.strictSame(delivered, [{ n: 1 }, { n: 3 }, { n: 4 }])
  t.strictSame(await countOutbox(db), { waiting: 0, failed: 0 })
})

onMysql(t, 'processes share the work, and block nobody', async (t, { db, url }) => {
  await prepareOutbox(db)
  const other = await open(t, url)
  await addToOutbox(
    db,
    [1, 2, 3, 4].map((n) => message(`${n}`)),
  )
  await sendFromOutbox(db, 'task', 2, async (mine) => {
    t.strictSame(ids(mine), ['1', '2'])
    t.strictSame(ids(await waiting(other)), ['3', '4'], 'others pass over what one sends')
    await addToOutbox(other, [message('5')])
    t.equal(await sendFromOutbox(other, 'task', 1, accept), 1)
    return await accept(mine)
  })
  t.strictSame(ids(await waiting(db)), ['4', '5'])
})

onMysql(t, 'what is not committed yet holds up nothing', async (t, { db, url }) => {
  await prepareOutbox(db)
  const other = await open(t, url)
  await db.transaction().execute(async () => {
    await addToOutbox(db, [message('open')])
    await addToOutbox(other, [message('done')])
    t.strictSame(ids(await waiting(other)), ['done'])
    t.equal(await sendFromOutbox(other, 'task', 10, accept), 1)
  })
  t.strictSame(ids(await waiting(other)), ['open'])
})

onMysql(t, 'of ten processes each message is sent by one', async (t, { db, url }) => {
  await prepareOutbox(db)
  const processes = await Promise.all(
    Array.from({ length: 10 }, () => open(t, url, { poolSize: 2 })),
  )
  const all = Array.from({ length: 300 }, (_, n) => `m${n}`)
  await addToOutbox(
    db,
    all.map((id) => message(id)),
  )
  const sent: string[] = []
  const send: Send = async (messages) => {
    sent.push(...ids(messages))
    return await accept(messages)
  }
  const work = async (db: AnyDatabase) => {
    for (let turn = 0; turn < 300 && (await countOutbox(db)).waiting > 0; turn++)
      await sendFromOutbox(db, 'task', 5, send)
  }
  await Promise.all(processes.map(work))
  t.strictSame(sent.sort(), all.sort())
})

onMysql(t, 'a process that dies gives back what it was sending', async (t, { db, url }) => {
  await prepareOutbox(db)
  // mysql2 keeps the timer of a query whose connection is lost.
  const other = await open(t, url, { queryTimeout: 10_000 })
  await addToOutbox(db, [message('a')])
  const dying = sendFromOutbox(other, 'task', 10, async () => {
    t.strictSame(await waiting(db), [])
    const { rows } = await sql<{ id: number }>`select id from information_schema.processlist
      where db = database() and command = 'Sleep' and id <> connection_id()`.execute(db)
    for (const { id } of rows) await sql`kill ${sql.raw(String(id))}`.execute(db).catch(() => {})
    return { delivered: ['a'], refused: [] }
  })
  await t.rejects(dying, { code: 'DATABASE_UNAVAILABLE' })
  // The server tells of the death before it has given back what was locked.
  await until(async () => (await waiting(db)).length > 0)
  t.strictSame(ids(await waiting(db)), ['a'])
})

onMysql(t, 'a server that cannot pass over locks sends all the same', async (t, { db }) => {
  await prepareOutbox(db)
  await addToOutbox(db, [message('a'), message('b')])
  const old = db.withPlugin(withoutSkipLocked)
  t.equal(await sendFromOutbox(old, 'task', 10, accept), 2)
  t.strictSame(await countOutbox(db), { waiting: 0, failed: 0 })
})

/** As a server of before that syntax: an error where it is met. */
const withoutSkipLocked: KyselyPlugin = {
  transformQuery({ node }) {
    if (node.kind !== 'SelectQueryNode' || !node.endModifiers) return node
    const broken = sql`skip locked, not known`.toOperationNode()
    const modifiers = node.endModifiers.map((modifier) =>
      modifier.modifier === 'SkipLocked' ? { kind: modifier.kind, rawModifier: broken } : modifier,
    )
    return { ...node, endModifiers: modifiers }
  },
  transformResult: async ({ result }) => result,
}
