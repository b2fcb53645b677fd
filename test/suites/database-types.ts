import { sql } from 'kysely'
import type { Test } from 'tap'
import { instant } from '../../src/database/portable.ts'
import type { DatabaseDriver } from '../helpers/drivers.ts'
import { type Db, openWithTables } from './database-fixture.ts'

const EMPTY = {
  small: null,
  big: null,
  flag: null,
  price: null,
  ratio: null,
  name: null,
  body: null,
  data: null,
  doc: null,
  born: null,
  at_time: null,
  seen: null,
}

/** What a column is written with, and what is read; the same where nothing is said. */
const ROUND_TRIPS: readonly (readonly [
  column: keyof typeof EMPTY,
  written: unknown,
  read?: unknown,
])[] = [
  ['small', 0],
  ['small', -1],
  ['small', 2 ** 31 - 1],
  ['big', 0],
  ['big', -1],
  ['big', 2 ** 53 - 1],
  ['big', -(2 ** 53 - 1)],
  ['big', 2n ** 53n + 1n],
  ['big', -(2n ** 53n) - 1n],
  ['big', 2n ** 63n - 1n],
  ['big', -(2n ** 63n)],
  ['big', 7n, 7],
  ['flag', true],
  ['flag', false],
  ['price', '123456789012345678.1234'],
  ['price', '-0.0001'],
  ['price', '12.50', '12.5000'],
  ['price', '12', '12.0000'],
  ['price', 12, '12.0000'],
  ['ratio', 0.1],
  ['ratio', -1.5e-300],
  ['ratio', 1.7976931348623157e308],
  ['ratio', 5],
  ['name', ''],
  ['body', 'it\'s 100 % \\ "quoted"'],
  ['name', '🦄 Zürich 東京'],
  ['body', `${'long '.repeat(5000)}end`],
  ['body', '2026-11-22T10:00:00.000Z'],
  ['data', Buffer.from([])],
  ['data', Buffer.from([0, 255, 0, 39, 92])],
  ['data', new Uint8Array([1, 0, 2]), Buffer.from([1, 0, 2])],
  ['doc', { a: [1, 'x', null, { b: true }], 'c"\'': '🦄' }],
  ['doc', []],
  ['doc', [1, 2]],
  ['doc', '"text"', 'text'],
  ['doc', 'null'],
  ['doc', '12.5', 12.5],
  ['born', '2026-11-22'],
  ['born', '1969-12-31'],
  ['born', '9999-12-31'],
  ['at_time', '23:59:59'],
  ['seen', new Date('2026-11-22T10:00:00.000Z'), '2026-11-22T10:00:00.000Z'],
  ['seen', new Date('2026-11-22T10:00:00.123Z'), '2026-11-22T10:00:00.123Z'],
  ['seen', new Date('1954-03-01T00:00:00.001Z'), '1954-03-01T00:00:00.001Z'],
  ['seen', new Date('9999-12-31T23:59:59.999Z'), '9999-12-31T23:59:59.999Z'],
]

/** Every type comes back as the same JavaScript value from every database. */
export async function databaseTypes(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  // JSON's null and the column's are both null.
  for (const [column, written, read = written === 'null' ? null : written] of ROUND_TRIPS) {
    const id = await insert(db, { [column]: written })
    const row = await db.selectFrom('sample').selectAll().where('id', '=', id).executeTakeFirst()
    t.strictSame(row, { ...EMPTY, id, [column]: read }, `${column} ${show(written)}`)
    const streamed: unknown[] = []
    for await (const one of db.selectFrom('sample').selectAll().where('id', '=', id).stream()) {
      streamed.push(one)
    }
    t.strictSame(streamed, [row], `${column} ${show(written)}, streamed`)
  }
}

/** What has no place in a column is refused before it reaches the database. */
export async function databaseRefusedValues(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  const refused: [unknown, string][] = [
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [new Date(Number.NaN), 'an invalid Date'],
    [new Date('+010000-01-01T00:00:00Z'), 'a Date of the year 10000'],
    [new Map(), 'a Map'],
    [Symbol('x'), 'symbol'],
  ]
  for (const [value, description] of refused) {
    await t.rejects(insert(db, { name: 'x', body: value }), {
      name: 'TypeError',
      message: new RegExp(
        `^Parameter 2 of the statement is ${description}; expected a finite number`,
      ),
    })
  }
  const unset = undefined as unknown as number
  await t.rejects(db.selectFrom('sample').selectAll().where('id', '=', unset).execute(), {
    message: /^Parameter 1 of the statement is undefined/,
  })
  t.strictSame(await db.selectFrom('sample').selectAll().execute(), [])
}

/** Objects in parameters are values, never SQL. */
export async function databaseObjectsAsValues(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  await insert(db, { name: 'secret' })
  const injected = { name: 1 } as unknown as string
  t.strictSame(await db.selectFrom('sample').selectAll().where('name', '=', injected).execute(), [])
}

/** Expressions have no column, yet come back alike. */
export async function databaseExpressions(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  const seen = new Date('2026-11-22T10:00:00.000Z')
  await insert(db, { small: 40, big: 2n ** 62n, seen, data: Buffer.from([1]) })
  await insert(db, { small: 2, big: 1, seen: new Date(0) })
  const { rows } =
    await sql`select count(*) as n, sum(small) as total, max(big) as most, max(seen) as latest,
    coalesce(max(data), 0) as bytes, sum(big) as sum, exists(select 1) as some from sample`.execute(
      db,
    )
  t.strictSame(rows, [
    {
      n: 2,
      total: 42,
      most: 2n ** 62n,
      latest: '2026-11-22T10:00:00.000Z',
      bytes: Buffer.from([1]),
      sum: 2n ** 62n + 1n,
      some: 1,
    },
  ])
}

/** The time zone of neither the process nor the server has a say. */
export async function databaseTimeZone(t: Test, driver: DatabaseDriver): Promise<void> {
  const { TZ } = process.env
  t.teardown(() => {
    if (TZ === undefined) delete process.env.TZ
    else process.env.TZ = TZ
  })
  // Clocks go back at 03:00 local on 5 April 2026 by half an hour: local times of that night are ambiguous.
  process.env.TZ = 'Australia/Lord_Howe'
  const { db } = await openWithTables(t, driver)
  const instants = [
    '2026-04-04T14:45:00.000Z',
    '2026-04-04T15:15:00.000Z',
    '2026-10-03T15:30:00.000Z',
  ]
  for (const seen of instants) await insert(db, { seen: new Date(seen), born: seen.slice(0, 10) })
  const rows = await db.selectFrom('sample').select(['seen', 'born']).orderBy('id').execute()
  t.strictSame(
    rows,
    instants.map((seen) => ({ seen, born: seen.slice(0, 10) })),
  )
  const after = (time: Date | string) =>
    db.selectFrom('sample').select('seen').where('seen', '>', instant(time)).orderBy('id').execute()
  const later = instants.slice(1).map((seen) => ({ seen }))
  t.strictSame(await after(new Date('2026-04-04T14:50:00Z')), later)
  t.strictSame(await after('2026-04-04T14:45:00.000Z'), later)
}

async function insert(db: Db, values: Record<string, unknown>): Promise<number> {
  const { insertId } = await db.insertInto('sample').values(values).executeTakeFirstOrThrow()
  return Number(insertId)
}

function show(value: unknown): string {
  if (typeof value === 'object') return JSON.stringify(value)
  return `${typeof value} ${String(value).slice(0, 30)}`
}
