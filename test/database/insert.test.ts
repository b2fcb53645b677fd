import t from 'tap'
import { inBatches, insertMissing } from '../../src/database/insert.ts'
import { portable } from '../../src/database/portable.ts'
import { isUniqueViolation } from '../../src/database/violations.ts'
import { type AnyDatabase, onEveryDatabase } from './fixture.ts'

t.test('cuts rows into batches', async (t) => {
  t.strictSame([...inBatches([1, 2, 3, 4, 5], 2)], [[1, 2], [3, 4], [5]])
  t.strictSame(
    [...inBatches([1, 2, 3, 4, 5], 2, 1)],
    [
      [2, 3],
      [4, 5],
    ],
  )
  t.strictSame([...inBatches([1, 2], 2, 2)], [])
})

onEveryDatabase(t, 'inserts the rows that are missing and counts them', async (t, { db }) => {
  await createItems(db)
  t.equal(await insertMissing(db, 'item', [{ id: 2, name: 'as it was' }], 'id'), 1)
  t.equal(await insertMissing(db, 'item', items(1, 3), 'id'), 2)
  t.equal(await insertMissing(db, 'item', items(1, 3), 'id'), 0)
  t.equal(await insertMissing(db, 'item', [...items(4, 4), ...items(4, 4)], 'id'), 1)
  t.equal(await insertMissing(db, 'item', [], 'id'), 0)
  const names = await db.selectFrom('item').select(['id', 'name']).orderBy('id').execute()
  t.strictSame(names, [
    { id: 1, name: 'item 1' },
    { id: 2, name: 'as it was' },
    { id: 3, name: 'item 3' },
    { id: 4, name: 'item 4' },
  ])
})

onEveryDatabase(t, 'inserts more rows than one statement takes, or none', async (t, { db }) => {
  await createItems(db)
  const broken = [...items(1, 20_000), { id: 20_001, name: null }]
  await t.rejects(insertMissing(db, 'item', broken, 'id'), /null/i)
  t.equal(await count(db), 0)
  t.equal(await insertMissing(db, 'item', items(1, 20_000), 'id'), 20_000)
  t.equal(await count(db), 20_000)
})

onEveryDatabase(t, 'refuses what a plain insert refuses', async (t, { db }) => {
  await createItems(db)
  await insertMissing(db, 'item', items(1, 1), 'id')
  const child = (item: number) => [{ id: item, name: 'child', parent: item }]
  t.equal(await insertMissing(db, 'child', child(1), 'id'), 1)
  await t.rejects(insertMissing(db, 'child', child(7), 'id'), /foreign key/i)
})

onEveryDatabase(t, 'is part of the transaction it is called in', async (t, { db }) => {
  await createItems(db)
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await insertMissing(trx, 'item', items(1, 3), 'id')
      throw new Error('undo')
    }),
    /undo/,
  )
  t.equal(await count(db), 0)
})

onEveryDatabase(t, 'passes over duplicates of its key alone', async (t, { db }) => {
  await createUsers(db)
  const user = (id: string, email: string) => ({ id, email })
  t.equal(await insertMissing(db, 'user', [user('a', 'a@x')], 'id'), 1)
  const taken = [user('b', 'b@x'), user('c', 'a@x'), user('d', 'd@x')]
  for (const rows of [
    taken,
    taken.slice(1, 2),
    [...taken, ...taken],
    [user('c', 'a@x'), user('a', 'a@x')],
  ]) {
    const error = await insertMissing(db, 'user', rows, 'id').catch((error) => error)
    t.ok(isUniqueViolation(error), `${rows.length}: ${error}`)
    t.match(error.message, /email/)
    t.strictSame(await usersOf(db), [user('a', 'a@x')], 'and nothing has been written')
  }
  t.equal(await insertMissing(db, 'user', [user('a', 'other'), user('b', 'b@x')], 'id'), 1)
  t.equal(await insertMissing(db, 'user', [user('other', 'a@x'), user('c', 'c@x')], 'email'), 1)
  t.equal(await insertMissing(db, 'user', [user('a', 'a@x')], 'id'), 0)
  t.strictSame(await usersOf(db), [user('a', 'a@x'), user('b', 'b@x'), user('c', 'c@x')])
  await t.rejects(insertMissing(db, 'user', [user('c', 'new@x'), user('a', 'z@x')], 'email'))
})

onEveryDatabase(t, 'counts by what the database takes for equal', async (t, { db, driver }) => {
  await createUsers(db)
  const rows = ['a', 'A', 'b', 'a'].map((id, index) => ({ id, email: `${index}@x` }))
  // MySQL's usual collations do not tell capitals from small letters.
  const equal = driver.name === 'mysql' ? 2 : 3
  t.equal(await insertMissing(db, 'user', rows, 'id'), equal)
  t.equal(await insertMissing(db, 'user', rows, 'id'), 0)
  t.equal((await usersOf(db)).length, equal)
})

onEveryDatabase(t, 'adds a row once, whoever else adds it', async (t, { db }) => {
  await createItems(db)
  const all = Array.from({ length: 8 }, (_, n) =>
    insertMissing(db, 'item', items(n + 1, n + 8), 'id'),
  )
  const added = await Promise.all(all)
  t.equal(
    added.reduce((sum, n) => sum + n),
    15,
  )
  t.equal(await count(db), 15)
  const one = await Promise.all(
    Array.from({ length: 8 }, () => insertMissing(db, 'item', items(99, 99), 'id')),
  )
  t.strictSame(one.sort(), [0, 0, 0, 0, 0, 0, 0, 1])
})

onEveryDatabase(t, 'is all or nothing in a transaction, too', async (t, { db }) => {
  await createItems(db)
  await db.transaction().execute(async (trx) => {
    const broken = [...items(1, 10_000), { id: 10_001, name: null }]
    await t.rejects(insertMissing(trx, 'item', broken, 'id'), /null/i)
    await insertMissing(trx, 'item', items(1, 2), 'id')
  })
  t.equal(await count(db), 2)
})

async function createUsers(db: AnyDatabase): Promise<void> {
  await portable(db)
    .createTable('user')
    .addColumn('id', 'varchar(20)', (id) => id.primaryKey())
    .addColumn('email', 'varchar(20)', (email) => email.notNull().unique())
    .execute()
}

const usersOf = (db: AnyDatabase) => db.selectFrom('user').selectAll().orderBy('id').execute()

async function createItems(db: AnyDatabase): Promise<void> {
  const { createTable, types } = portable(db)
  await createTable('item')
    .addColumn('id', types.id, (id) => id.primaryKey())
    .addColumn('name', 'varchar(20)', (name) => name.notNull())
    .execute()
  await createTable('child')
    .addColumn('id', types.id, (id) => id.primaryKey())
    .addColumn('name', 'varchar(20)')
    .addColumn('parent', types.id)
    .addForeignKeyConstraint('child_parent', ['parent'], 'item', ['id'])
    .execute()
}

function items(from: number, to: number): { id: number; name: string | null }[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    id: from + i,
    name: `item ${from + i}`,
  }))
}

async function count(db: AnyDatabase): Promise<number> {
  const query = db.selectFrom('item').select(({ fn }) => fn.countAll<number>().as('n'))
  return (await query.executeTakeFirstOrThrow()).n
}
