import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import { ExpiringRows } from '../../src/database/expiring-rows.ts'
import { inTransaction, retryTransaction } from '../../src/database/transaction.ts'
import { type AnyDatabase, onEveryDatabase } from './fixture.ts'

interface Tables {
  plinth_test: { id: string; expires_at: string }
}

onEveryDatabase(t, 'texts that live for a time, for all processes', async (t, attached) => {
  const db = attached.db as unknown as Kysely<Tables>
  const open = () => new ExpiringRows(db as never, 'plinth_test', { owned: true })
  const [one, other] = [open(), open()]
  const all = async () =>
    (await db.selectFrom('plinth_test').select('id').orderBy('id').execute()).map(({ id }) => id)
  const row = (id: string, ttl: number, token = 'mine') => ({ id, value: `of ${id}`, ttl, token })
  await Promise.all([one.prepare(), other.prepare()])

  await t.test('of many at once one is added, and what it is the others are told', async (t) => {
    const tokens = Array.from({ length: 8 }, (_, n) => `${n}`)
    const add = async (token: string, n: number) =>
      (n % 2 ? one : other).addMissing({ ...row('a', 60_000, token), value: token })
    const told = await Promise.all(tokens.map(add))
    const winner = tokens[told.indexOf(undefined)] ?? ''
    t.equal(told.filter((value) => value === undefined).length, 1)
    t.strictSame(new Set(told), new Set([undefined, winner]))
    await one.replace({ ...row('a', 60_000, 'not its own'), value: 'stolen' })
    await one.removeOwned('a', 'not its own')
    t.equal(await other.read('a', 60_000), winner)
    await one.replace({ ...row('a', 60_000, winner), value: 'done' })
    t.equal(await other.read('a', 60_000), 'done')
    await other.removeOwned('a', winner)
    t.equal(await one.read('a', 60_000), undefined)
  })

  await t.test('what is over is not read, and put away with the next', async (t) => {
    await one.add([row('old', -1), row('new', 60_000)])
    t.strictSame(await all(), ['new', 'old'])
    t.equal(await other.read('old', 60_000), undefined)
    t.equal(await other.addMissing(row('newer', 3_600_000)), undefined)
    t.strictSame(await all(), ['new', 'newer'])
    t.equal(await other.addMissing(row('new', 60_000)), 'of new')
    const many = Array.from({ length: 50 }, (_, n) => `old ${n}`)
    await one.add(many.map((id, n) => row(id, n - 1000)))
    const left = many.at(-1) ?? ''
    t.equal(await other.addMissing(row(left, 60_000)), undefined, 'more than are put away at once')
    t.equal(await one.read(left, 60_000), `of ${left}`)
    await one.removeOwned(left, 'mine')
    for (let n = 0; n < 3; n++) await one.add([row(`next ${n}`, -1)])
    t.strictSame(await all(), ['new', 'newer', 'next 2'])
    await one.remove(['next 2'])
  })

  await t.test('many at once, while others are over', async (t) => {
    const ids = Array.from({ length: 1000 }, (_, n) => `${(n * 7919) % 1000}`)
    await one.add(ids.slice(0, 50).map((id) => row(`over ${id}`, 1)))
    const use = async (id: string, n: number) => {
      const rows = n % 2 ? one : other
      t.equal(await rows.addMissing(row(id, 3_600_000)), undefined)
      await rows.replace(row(id, 86_400_000))
      if (n % 4) await rows.removeOwned(id, 'mine')
    }
    await Promise.all(ids.map(use))
    const kept = ids.filter((_, n) => n % 4 === 0)
    const left = (await all()).filter((id) => /^\d/.test(id))
    t.strictSame(left.toSorted(), kept.toSorted())
    await one.remove([...kept, ...ids.map((id) => `over ${id}`)])
  })

  await t.test('what is read lives on, and is written when that is worth it', async (t) => {
    const until = async () => {
      const rows = db.selectFrom('plinth_test').select('expires_at').where('id', '=', 'new')
      return Date.parse((await rows.executeTakeFirstOrThrow()).expires_at)
    }
    // How long the tests before took is of no interest.
    await one.replace(row('new', 60_000))
    const first = await until()
    t.equal(await one.read('new', 60_000), 'of new')
    t.equal(await until(), first)
    t.equal(await one.read('new', 120_000), 'of new')
    t.ok((await until()) >= first + 50_000)
  })

  await t.test('in the order of their ids, and removed together', async (t) => {
    await one.add(['g.1', 'g.2', 'h.1', 'G.1'].map((id) => row(id, 60_000)))
    const found = await other.between('g.', 'g.~')
    t.strictSame(found.map(({ id, value }) => [id, value]).toSorted(), [
      ['g.1', 'of g.1'],
      ['g.2', 'of g.2'],
    ])
    await other.remove(['g.1', 'h.1', 'nobody'])
    t.strictSame(new Set(await all()), new Set(['G.1', 'g.2', 'new', 'newer']))
    await other.remove([])
  })
})

/** What sessions and kept answers do, where there is no table yet. */
function openNew(t: Test, db: AnyDatabase) {
  const sessions = new ExpiringRows(db as never, 'plinth_sessions')
  const keys = new ExpiringRows(db as never, 'plinth_keys', { owned: true })
  const key = { id: 'k', value: 'of k', ttl: 60_000, token: 'mine' }
  return {
    async write() {
      await sessions.add([{ id: 's', value: 'of s', ttl: 60_000 }])
      t.equal(await keys.addMissing(key), undefined)
      t.equal(await keys.addMissing(key), 'of k')
    },
    read: async () => [await sessions.read('s', 60_000), await keys.read('k', 60_000)],
  }
}

const undone = new Error('undone')
const NOTHING = [undefined, undefined]
const ALL = ['of s', 'of k']

onEveryDatabase(t, 'the first in a transaction that is rolled back', async (t, { db }) => {
  const rows = openNew(t, db)
  const work = async () => {
    await rows.write()
    t.strictSame(await rows.read(), ALL)
    throw undone
  }
  await t.rejects(db.transaction().execute(work), undone)
  t.strictSame(await rows.read(), NOTHING)
  await rows.write()
  t.strictSame(await rows.read(), ALL)
})

onEveryDatabase(t, 'the first in a part of one that is rolled back', async (t, { db }) => {
  const rows = openNew(t, db)
  await db.transaction().execute(async (transaction) => {
    const part = inTransaction(transaction, async () => {
      await rows.write()
      throw undone
    })
    await t.rejects(part, undone)
    t.strictSame(await rows.read(), NOTHING)
    await rows.write()
  })
  t.strictSame(await rows.read(), ALL)
  t.strictSame(await openNew(t, db).read(), ALL, 'for others, too')
})

onEveryDatabase(t, 'the first in a transaction that has read before', async (t, { db }) => {
  await sql`create table other (n integer)`.execute(db)
  const rows = openNew(t, db)
  const work = async (transaction: AnyDatabase) => {
    await transaction.selectFrom('other').selectAll().execute()
    await rows.write()
  }
  // MySQL lets no transaction read what was made after it has begun to read.
  await retryTransaction(db, work, { delay: 1 })
  t.strictSame(await rows.read(), ALL)
})
