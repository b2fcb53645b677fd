import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { type Kysely, type KyselyPlugin, sql } from 'kysely'
import t from 'tap'
import database from '../../plugins/database.ts'
import { rows } from '../../src/crud/rows.ts'
import { download } from '../../src/resource/download.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { type ByteAnswer, stream } from '../../src/resource/stream.ts'
import { onEveryDatabase, open } from '../database/fixture.ts'
import { failure, serveThings } from '../helpers/app.ts'

interface Tables {
  item: { a: number; b: string; note: string | null }
  big: { id: number | bigint; n: number | bigint | null }
}

type Db = Kysely<Tables>

/** Seven rows, whose key is in two columns. */
async function fill(db: Db): Promise<void> {
  await sql`create table item (a integer not null, b varchar(20) not null, note varchar(50), primary key (a, b))`.execute(
    db,
  )
  const notes = ['x', 'say "hi"', 'one, two', 'two\nlines', null, 'ünï', '']
  const values = notes.map((note, i) => ({ a: Math.floor(i / 3), b: `k${i % 3}`, note }))
  await db.insertInto('item').values(values.reverse()).execute()
}

const KEY = { key: ['a', 'b'] } as const

onEveryDatabase(t, 'rows of a query in each form, page by page', async (t, { db: anyDb }) => {
  const db = anyDb as unknown as Db
  await fill(db)
  const all = db.selectFrom('item').selectAll()
  for (const pageSize of [1, 2, 3, 7, 500]) {
    const options = { ...KEY, pageSize }
    t.equal(
      await text(rows(all, { ...options, as: 'csv' })),
      [
        ...['a,b,note', '0,k0,x', '0,k1,"say ""hi"""', '0,k2,"one, two"', '1,k0,"two\nlines"'],
        ...['1,k1,', '1,k2,ünï', '2,k0,', ''],
      ].join('\r\n'),
      `${pageSize} at once`,
    )
    const lines = (await text(rows(all, { ...options, as: 'ndjson' }))).trim().split('\n')
    const list = JSON.parse(await text(rows(all, { ...options, as: 'json' })))
    t.strictSame(
      lines.map((line) => JSON.parse(line)),
      list,
    )
    t.strictSame(
      list.map(({ a, b }: Tables['item']) => `${a}${b}`),
      ['0k0', '0k1', '0k2', '1k0', '1k1', '1k2', '2k0'],
    )
  }
})

onEveryDatabase(t, 'others have their turn between pages', async (t, { db: anyDb, driver }) => {
  const db = anyDb as unknown as Db
  await sql`create table big (id bigint primary key, n bigint)`.execute(db)
  const values = Array.from({ length: 250 }, (_, id) => ({ id, n: 0 }))
  await db.insertInto('big').values(values).execute()
  let turns = 0
  let done = false
  const count = () => {
    turns++
    if (!done) setImmediate(count)
  }
  const pages: { size: number; turn: number }[] = []
  const watch: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      pages.push({ size: result.rows.length, turn: turns })
      return result
    },
  }
  setImmediate(count)
  await text(rows(db.withPlugin(watch).selectFrom('big').selectAll(), { as: 'ndjson' }))
  done = true
  t.strictSame(
    pages.map(({ size }) => size),
    driver.name === 'mysql' ? [250] : [100, 100, 50],
  )
  t.equal(new Set(pages.map(({ turn }) => turn)).size, pages.length, 'no two pages in one turn')
})

onEveryDatabase(t, 'whatever the query is', async (t, { db: anyDb }) => {
  const db = anyDb as unknown as Db
  await fill(db)
  const read = async (stream: ByteAnswer) =>
    (await text(stream)).split('\r\n').slice(1, -1).join(' ')
  const csv = { as: 'csv', pageSize: 2 } as const
  const loose = db
    .selectFrom('item')
    .select(['a', 'b'])
    .where(sql<boolean>`a = 0 or a = 2`)
    .orderBy('note', 'desc')
  t.equal(await read(rows(loose, { ...csv, ...KEY })), '0,k0 0,k1 0,k2 2,k0', 'with an or')
  const grouped = db
    .selectFrom('item')
    .select(({ fn }) => ['b', fn.countAll<number>().as('times')])
    .groupBy('b')
  t.equal(await read(rows(grouped, { ...csv, key: ['b'] })), 'k0,3 k1,2 k2,2', 'groups')
  const joined = db
    .selectFrom('item as one')
    .innerJoin('item as other', (join) => join.onRef('one.b', '=', 'other.b').on('other.a', '=', 0))
    .select(['one.a as place', 'one.b as name', 'other.note as first'])
    .where('one.a', '>', 0)
  t.equal(
    await read(rows(joined, { ...csv, key: ['place', 'name'], columns: ['name', 'place'] })),
    'k0,1 k1,1 k2,1 k0,2',
    'joins, and some columns in an order of their own',
  )
  const none = db.selectFrom('item').selectAll().where('a', '=', 9)
  t.equal(await text(rows(none, { as: 'csv', ...KEY, columns: ['a', 'b'] })), 'a,b\r\n')
  t.equal(await text(rows(none, { as: 'csv', ...KEY })), '')
  t.equal(await text(rows(none, { as: 'json', ...KEY })), '[]')
  t.equal(await text(rows(none, { as: 'ndjson', ...KEY })), '')
})

onEveryDatabase(t, 'integers keep their digits', async (t, { db: anyDb }) => {
  const db = anyDb as unknown as Db
  await sql`create table big (id bigint primary key, n bigint)`.execute(db)
  const large = 9_007_199_254_740_993n
  for (const id of [large, large + 1n, 1n])
    await sql`insert into big values (${id}, ${id})`.execute(db)
  const all = db.selectFrom('big').selectAll()
  t.equal(
    await text(rows(all, { as: 'ndjson', pageSize: 1 })),
    `{"id":1,"n":1}\n{"id":${large},"n":${large}}\n{"id":${large + 1n},"n":${large + 1n}}\n`,
  )
  t.equal(
    await text(rows(all, { as: 'csv', pageSize: 2 })),
    `id,n\r\n1,1\r\n${large},${large}\r\n${large + 1n},${large + 1n}\r\n`,
  )
})

onEveryDatabase(t, 'a key by which it cannot go on is told', async (t, { db: anyDb }) => {
  const db = anyDb as unknown as Db
  await fill(db)
  const all = db.selectFrom('item').selectAll()
  const wrong = [
    [rows(all, { as: 'csv', key: ['note'], pageSize: 1 }), /note is no integer or text/],
    [rows(db.selectFrom('item').select('a'), { as: 'csv', key: ['b'] as never, pageSize: 1 }), /b/],
  ] as const
  for (const [stream, message] of wrong) t.match(await failure(text(stream)), { message })
})

// One connection: who reads slowly has it only while a page is read.
onEveryDatabase(t, 'a client that reads slowly, or leaves, holds nothing', async (t, { url }) => {
  const setUp = await open(t, url)
  await sql`create table item (a integer primary key, b varchar(300), note varchar(50))`.execute(
    setUp,
  )
  const many = Array.from({ length: 500 }, (_, i) => ({ a: i, b: 'x'.repeat(300) }))
  for (let start = 0; start < 20_000; start += 500)
    await setUp
      .insertInto('item')
      .values(many.map((one) => ({ ...one, a: one.a + start })))
      .execute()
  const streams: ByteAnswer[] = []
  const all = defineResource({
    summary: 'All',
    response: stream('text/csv'),
    perform(_, { db }) {
      const found = (db as unknown as Db).selectFrom('item').selectAll()
      const made = download('items.csv', rows(found, { as: 'csv', key: ['a'] }))
      streams.push(made)
      return made
    },
  })
  const app = await serveThings(
    t,
    { all },
    {
      plugin: (app) => {
        app.register(database, { url, poolSize: 1, acquireTimeout: '60s' })
      },
    },
  )
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const ask = async () =>
    (await once(get(`${address}/things`), 'response')) as unknown as [IncomingMessage]
  const [[slow], [leaving]] = [await ask(), await ask()]
  t.match(slow.headers, {
    'content-type': 'text/csv; charset=utf-8',
    'content-disposition': 'attachment; filename="items.csv"',
  })
  await Promise.all([once(slow, 'readable'), once(leaving, 'readable')])
  const db = app.db as unknown as Db
  await db.updateTable('item').set({ note: 'changed' }).where('a', '=', 19_999).execute()
  leaving.destroy()
  const lines = (await text(slow)).trim().split('\r\n')
  t.equal(lines.length, 20_001)
  t.match(lines.at(-1), /^19999,x+,changed$/, 'as it is when it is read')
  t.ok(streams.every((one) => one.destroyed))
})
