import t from 'tap'
import { addColumn, alterColumn, createTable } from '../../../../src/database/migration/index.ts'
import type { ColumnState } from '../../../../src/database/schema/state.ts'
import { onEveryDatabase } from '../../fixture.ts'
import { apply, rowsOf, run } from './fixture.ts'

const ODD = `it's "odd" \\ \\' \`x\` -- \n /* ? */ Größe 🗺️`

/** Columns with a default, and what is read where a row does not say them. */
const DEFAULTS: readonly (readonly [column: ColumnState, value: unknown])[] = [
  [{ type: 'boolean', default: true }, true],
  [{ type: 'boolean', default: false }, false],
  [{ type: 'tinyint', default: -128 }, -128],
  [{ type: 'smallint', default: 32767 }, 32767],
  [{ type: 'integer', default: -2147483648 }, -2147483648],
  [{ type: 'bigint', default: '9007199254740993' }, 9007199254740993n],
  [{ type: 'double', default: 0.1 }, 0.1],
  [{ type: 'double', default: 1e21 }, 1e21],
  [{ type: 'decimal(12,2)', default: '1234567890.10' }, '1234567890.10'],
  [{ type: 'decimal(12,2)', default: 0 }, '0.00'],
  [{ type: 'char(3)', default: 'abc' }, 'abc'],
  [{ type: 'varchar(80)', default: ODD }, ODD],
  [{ type: 'varchar(80)', default: '' }, ''],
  [{ type: 'text', default: ODD }, ODD],
  [{ type: 'date', default: '2026-11-22' }, '2026-11-22'],
  [{ type: 'datetime', default: '2026-11-22T10:00:00.120Z' }, '2026-11-22T10:00:00.120Z'],
  [{ type: 'datetime', default: '2026-11-22 10:00:00' }, '2026-11-22T10:00:00.000Z'],
  [{ type: 'json', default: JSON.stringify({ a: [ODD] }) }, { a: [ODD] }],
  [{ type: 'json', default: true }, true],
  [{ type: 'blob', default: ODD }, Buffer.from(ODD)],
  [
    { type: 'uuid', default: '01890a5d-ac96-774b-bcce-b302099a8057' },
    '01890a5d-ac96-774b-bcce-b302099a8057',
  ],
  [
    { type: { mysql: 'longtext', sqlite: 'text' }, default: { mysql: "('a' )", sqlite: "('a')" } },
    'a',
  ],
  [{ type: { mysql: 'mediumtext', sqlite: 'text' }, default: 'b' }, 'b'],
  [{ type: 'varchar(80)', default: ODD, values: [ODD, "'", '\\'] }, ODD],
]

onEveryDatabase(t, 'a row gets the defaults, whatever is in them', async (t, { db, driver }) => {
  const columns = Object.fromEntries(DEFAULTS.map(([column], at) => [`c${at}`, column]))
  const definition = {
    columns: { id: { type: 'integer' }, ...columns },
    primaryKey: ['id'],
  } as const
  await apply(t, { db, dialect: driver.name }, [createTable('thing', definition)])
  await run(db, 'insert into thing (id) values (1)')
  const [row] = await db.selectFrom('thing').selectAll().execute()
  t.strictSame(
    row,
    Object.fromEntries([['id', 1], ...DEFAULTS.map(([, value], at) => [`c${at}`, value])]),
  )
})

onEveryDatabase(t, 'a column has one of its values', async (t, { db, driver }) => {
  const values = [ODD, "'", '\\', '']
  const definition = {
    columns: { id: { type: 'integer', generated: true }, kind: { type: 'varchar(80)', values } },
    primaryKey: ['id'],
  } as const
  await apply(t, { db, dialect: driver.name }, [createTable('thing', definition)])
  await db
    .insertInto('thing')
    .values(values.map((kind) => ({ kind })))
    .execute()
  t.strictSame(
    await db.selectFrom('thing').selectAll().orderBy('id').execute(),
    values.map((kind, at) => ({ id: at + 1, kind })),
  )
  for (const kind of ["''", '\\\\', 'x']) {
    await t.rejects(db.insertInto('thing').values({ kind }).execute(), /thing_kind_check/)
  }
})

onEveryDatabase(t, 'what is written is read', async (t, { db, driver }) => {
  const definition = {
    columns: {
      id: { type: 'uuid' },
      at: { type: 'datetime' },
      day: { type: 'date' },
      price: { type: 'decimal(12,2)' },
      data: { type: 'blob' },
      tags: { type: 'json' },
      open: { type: 'boolean' },
      big: { type: 'bigint' },
    },
    primaryKey: ['id'],
  } as const
  await apply(t, { db, dialect: driver.name }, [createTable('thing', definition)])
  const row = {
    id: '01890a5d-ac96-774b-bcce-b302099a8057',
    day: '2026-11-22',
    price: '1234567890.10',
    data: Buffer.from([0, 255]),
    tags: [ODD],
    open: false,
    big: -9007199254740993n,
  }
  const at = new Date('2026-11-22T10:00:00.123Z')
  await db
    .insertInto('thing')
    .values({ ...row, at })
    .execute()
  const [read] = await db.selectFrom('thing').selectAll().execute()
  t.strictSame({ ...read }, { ...row, at: at.toISOString() })
})

onEveryDatabase(
  t,
  'a column without a default waits for an empty table',
  async (t, { db, driver }) => {
    const on = { db, dialect: driver.name }
    const definition = { columns: { id: { type: 'integer' } }, primaryKey: ['id'] } as const
    const before = await apply(t, on, [createTable('thing', definition)])
    await run(db, 'insert into thing (id) values (1)')
    for (const column of [
      { type: 'integer' },
      { type: 'varchar(9)', values: ['', 'a'] },
      { type: 'datetime' },
    ] as const) {
      const adding = apply(t, on, [addColumn('thing', 'x', column)], before)
      await t.rejects(
        adding,
        /existing_rows_need_a_default|Incorrect datetime|NOT NULL constraint failed/,
      )
      t.strictSame(await rowsOf(db, 'select * from thing'), [{ id: 1 }])
    }
    await run(db, 'delete from thing')
    await apply(t, on, [addColumn('thing', 'x', { type: 'integer' })], before)
    await t.rejects(run(db, 'insert into thing (id) values (1)'))
    await run(db, 'insert into thing (id, x) values (1, 2)')
    t.strictSame(await rowsOf(db, 'select * from thing'), [{ id: 1, x: 2 }])
  },
)

onEveryDatabase(t, 'a null is refused, or gets the default', async (t, { db, driver }) => {
  const on = { db, dialect: driver.name }
  const from = { type: 'varchar(9)', nullable: true } as const
  const definition = { columns: { id: { type: 'integer' }, x: from }, primaryKey: ['id'] } as const
  const before = await apply(t, on, [createTable('thing', definition)])
  await run(db, 'insert into thing (id) values (1)')
  const required = alterColumn('thing', 'x', { from, to: { type: 'varchar(9)' } })
  await t.rejects(apply(t, on, [required], before), /NOT NULL|null|truncated/i)
  t.strictSame(await rowsOf(db, 'select * from thing'), [{ id: 1, x: null }])
  await run(db, "insert into thing (id, x) values (2, 'b')")
  const filled = alterColumn('thing', 'x', { from, to: { type: 'varchar(9)', default: 'a' } })
  await apply(t, on, [filled], before)
  t.strictSame(await rowsOf(db, 'select * from thing order by id'), [
    { id: 1, x: 'a' },
    { id: 2, x: 'b' },
  ])
})

onEveryDatabase(
  t,
  'a decimal becomes a longer one, a text and back, digit by digit',
  async (t, { db, driver }) => {
    const on = { db, dialect: driver.name }
    const types = [
      'decimal(10,2)',
      'decimal(20,2)',
      'varchar(30)',
      'decimal(10,2)',
      'text',
    ] as const
    const column = (type: (typeof types)[number]) => ({ type, nullable: true }) as const
    const definition = {
      columns: { id: { type: 'integer' }, x: column(types[0]) },
      primaryKey: ['id'],
    } as const
    let state = await apply(t, on, [createTable('thing', definition)])
    const values = ['12.50', null, '-0.05', '99999999.99', '100.00', '0.00']
    for (const [id, x] of values.entries()) await db.insertInto('thing').values({ id, x }).execute()
    for (const [i, type] of types.entries()) {
      const from = column(types[i - 1] ?? type)
      const operation = alterColumn('thing', 'x', { from, to: column(type) })
      if (i > 0) state = await apply(t, on, [operation], state)
      const rows = await db.selectFrom('thing').select('x').orderBy('id').execute()
      t.strictSame(
        rows.map(({ x }) => x),
        values,
        type,
      )
    }
  },
)
