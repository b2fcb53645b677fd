import t from 'tap'
import { inBatches, insertMissing } from '../../src/database/insert.ts'
import { portable } from '../../src/database/portable.ts'
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
