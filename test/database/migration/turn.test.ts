import { type KyselyPlugin, RawNode } from 'kysely'
import t, { type Test } from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { createMigrator, type Migrator } from '../../../src/database/migration/migrator.ts'
import {
  type AnyDatabase,
  creating,
  folder,
  migration,
  onEveryDatabase,
  onMysql,
  tablesOf,
} from '../fixture.ts'

const KIND = `{ type: 'varchar(4)', values: ['town', 'city'], default: 'town' }`
const TWICE = `{ type: {
  mysql: 'int generated always as (size * 2) stored', sqlite: 'int generated always as (size * 2) stored' }, nullable: true }`
const CITY = `m.createTable('city', { columns: {
  id: { type: 'integer' }, name: { type: 'varchar(80)', nullable: true }, kind: ${KIND},
  size: { type: 'integer', nullable: true }, twice: ${TWICE} },
  primaryKey: ['id'] })`

// Operations of one statement, of two, of three, several that have one together, and SQL of which only its author knows.
const STEPS = [
  `m.dropColumn('city', 'name', { type: 'varchar(80)', nullable: true })`,
  `m.createTable('visit', { columns: { id: { type: 'integer' } }, primaryKey: ['id'] })`,
  `m.addColumn('visit', 'year', { type: 'integer' })`,
  `m.addColumn('visit', 'month', { type: 'integer' })`,
  `m.runSql({ up: ['create table if not exists x (n int)', 'create table if not exists y (n int)'],
    down: ['drop table if exists y', 'drop table if exists x'] })`,
  `m.alterColumn('city', 'twice', { from: ${TWICE}, to: { type: 'integer' }, fill: 9 })`,
  `m.renameTable('city', 'town')`,
  `m.alterColumn('visit', 'year', { from: { type: 'integer' }, to: { type: 'bigint' } })`,
  `m.dropColumn('visit', 'month', { type: 'integer' })`,
  `m.addColumn('visit', 'week', { type: 'integer', nullable: true })`,
]
const files = { '0001_city.ts': migration(CITY), '0002_steps.ts': migration(...STEPS) }

/** `fails`: the server says no. `before`, `after`: the process is killed then. */
type Way = 'fails' | 'before' | 'after'

/** A database of which the statement of this number that changes the schema goes wrong, from 0. */
function breaking(db: AnyDatabase, number: number, way: Way) {
  let count = 0
  let isDead = false
  let reached = false
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      const text = RawNode.is(node) ? (node.sqlFragments[0] ?? '') : ''
      // What holds the lock is gone with the connection.
      if (/_lock\(/.test(text)) return node
      if (isDead) throw new Error('killed')
      if (
        !/^(create|alter|drop) (table|index)/.test(text) ||
        /plinth_probe|plinth_migration/.test(text)
      )
        return node
      if (count++ !== number) return node
      reached = true
      if (way === 'fails') throw new Error('refused')
      isDead = true
      if (way === 'before') throw new Error('killed')
      return node
    },
    async transformResult({ result }) {
      if (isDead && reached) throw new Error('killed')
      return result
    },
  }
  return { broken: db.withPlugin(plugin), wasReached: () => reached }
}

async function schemaOf(db: AnyDatabase) {
  return (await readSchema(db)).schema
}

interface Interrupted {
  /** Of the run that goes wrong. */
  direction: 'up' | 'down'
  way: Way
  /** Of the statement that it goes wrong at. */
  number: number
}

const run = (migrator: Migrator, direction: 'up' | 'down', settlement?: 'again') => {
  const options = settlement ? { settlement } : {}
  return direction === 'up'
    ? migrator.migrate(options)
    : migrator.rollback({ steps: 1, ...options })
}

/** Ends what was interrupted as an operator does, who says of SQL that was written by hand that it may be run again. */
async function end(migrator: Migrator, direction: 'up' | 'down') {
  const { state } = (await migrator.status()).at(-1) as { state: string }
  if (state === (direction === 'up' ? 'applied' : 'pending')) return
  await run(migrator, direction).catch((error) => {
    if (error.code !== 'MIGRATION_INTERRUPTED') throw error
    return run(migrator, direction, 'again')
  })
}

// `before` a statement is the same as `after` the one before it, but for the first.
for (const way of ['fails', 'after'] as const) {
  onEveryDatabase(t, `ended either way, wherever it ${way}`, async (t, { db, driver }) => {
    const directory = folder(t, files)
    const migrator = createMigrator({ db, directory })
    await migrator.migrate({ to: '0001' })
    await db.insertInto('city').values({ id: 1, name: 'Ys' }).execute()
    const before = await schemaOf(db)
    await migrator.migrate()
    const schemas = { up: await schemaOf(db), down: before }
    await migrator.rollback({ steps: 1 })

    /** Lets a run go wrong, and ends it; returns whether it has gone wrong. */
    const interrupt = async ({ direction, way, number }: Interrupted, to: 'up' | 'down') => {
      const { broken, wasReached } = breaking(db, number, way)
      await run(createMigrator({ db: broken, directory }), direction).catch(() => {})
      await end(migrator, to)
      const place = `${direction}, ${way} ${number}, ended ${to}`
      t.strictSame(await schemaOf(db), schemas[to], place)
      const rows = db.selectFrom(to === 'up' ? 'town' : 'city').select(['id', 'twice'])
      t.strictSame(await rows.execute(), [{ id: 1, twice: to === 'up' ? 9 : null }], place)
      const states = (await migrator.status()).map(({ state }) => state)
      t.strictSame(states, ['applied', to === 'up' ? 'applied' : 'pending'], place)
      return wasReached()
    }

    let number = 0
    // What `after` leaves is more than what `fails` does: some of those are enough.
    const pace = way === 'fails' && driver.name === 'mysql' ? 3 : 1
    for (let more = true; more && number < 50; number += pace) {
      const up = { direction: 'up', way, number } as const
      const down = { direction: 'down', way, number } as const
      more = await interrupt(up, 'down')
      more = (await interrupt(up, 'up')) || more
      more = (await interrupt(down, 'up')) || more
      more = (await interrupt(down, 'down')) || more
    }
    t.ok(number > 8 && number < 50, `it went wrong up to statement ${number}`)
  })
}

const trap = migration(
  `m.dropColumn('city', 'year', { type: 'integer' })`,
  `m.createTable('visit', { columns: { id: { type: 'integer' } }, primaryKey: ['id'] })`,
  // What comes behind a step by hand is not tried on the rows before.
  `m.runSql({ up: [], down: [] })`,
)
const trapped = {
  '0001_city.ts': migration(
    `m.createTable('city', { columns: { id: { type: 'integer' }, year: { type: 'integer' } }, primaryKey: ['id'] })`,
  ),
  '0002_trap.ts': trap,
}

/** A rollback that cannot be finished as it is: the rows have no value for a column that comes back. */
async function fallInto(t: Test, db: AnyDatabase) {
  const directory = folder(t, trapped)
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('city').values({ id: 1, year: 2026 }).execute()
  await migrator.migrate()
  await t.rejects(migrator.rollback({ steps: 1 }), {
    code: 'MIGRATION_FAILED',
    message: /Or run manage migrate, which applies it again$/,
  })
  t.strictSame(await tablesOf(db), ['city'])
  return migrator
}

onMysql(t, 'a rollback that cannot go on: status names what can be done', async (t, { db }) => {
  const migrator = await fallInto(t, db)
  t.match((await migrator.status())[1], {
    state: 'interrupted',
    direction: 'down',
    position: 1,
    remedy:
      'run manage migrate rollback to take back the rest of it, or manage migrate to apply it again',
  })
  t.match(await migrator.migrate(), [{ name: '0002_trap', direction: 'up' }])
  t.strictSame(await tablesOf(db), ['city', 'visit'])
  t.match((await migrator.status())[1], { state: 'applied', remedy: null })
})

onMysql(t, 'a rollback that cannot go on: its file is mended', async (t, { db }) => {
  await fallInto(t, db)
  const mended = trap.replace(`{ type: 'integer' })`, `{ type: 'integer' }, { fill: 0 })`)
  const directory = folder(t, { ...trapped, '0002_trap.ts': mended }, 'mended')
  const migrator = createMigrator({ db, directory })
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0002_trap', direction: 'down' }])
  t.strictSame(await db.selectFrom('city').selectAll().execute(), [{ id: 1, year: 0 }])
  t.strictSame(await migrator.pending(), ['0002_trap'])
})

onMysql(t, 'a rollback that cannot go on: it is ended by hand', async (t, { db }) => {
  const migrator = await fallInto(t, db)
  t.match(await migrator.rollback({ steps: 1, fake: true }), [{ name: '0002_trap' }])
  t.strictSame(await migrator.pending(), ['0002_trap'])
  t.strictSame(await tablesOf(db), ['city'], 'nothing has been run')

  t.match(await migrator.migrate({ fake: true }), [{ name: '0002_trap' }])
  t.strictSame(await migrator.pending(), [])
  t.strictSame(await tablesOf(db), ['city'])
})

onEveryDatabase(t, 'forgets migrations and runs nothing, all or none', async (t, { db }) => {
  const directory = folder(t, { '0001_a.ts': creating('a'), '0002_b.ts': creating('b') })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate()
  t.match(await migrator.rollback({ steps: 1, fake: true }), [{ name: '0002_b' }])
  t.strictSame(await migrator.pending(), ['0002_b'])
  t.match(await migrator.rollback({ steps: 5, fake: true }), [{ name: '0001_a' }])
  t.strictSame(await migrator.pending(), ['0001_a', '0002_b'])
  t.strictSame(await tablesOf(db), ['a', 'b'])
})

onMysql(t, 'a rollback that cannot go on: it is said to be applied', async (t, { db }) => {
  const migrator = await fallInto(t, db)
  await t.rejects(migrator.migrate({ fake: true, to: '0001' }), { code: 'MIGRATION_INTERRUPTED' })
  t.match((await migrator.status())[1], { state: 'interrupted' })
  t.match(await migrator.migrate({ fake: true }), [{ name: '0002_trap' }])
  t.match((await migrator.status())[1], { state: 'applied' })
})

onMysql(t, 'what has no way back is told before anything is undone', async (t, { db }) => {
  const directory = folder(t, {
    '0001_steps.ts': migration(
      `m.createTable('a', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
      `m.runSql({ up: 'insert into a values (1)' })`,
      `m.createTable('b', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
      `m.createTable('c', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
    ),
  })
  const migrator = createMigrator({ db, directory })
  await db.schema.createTable('c').addColumn('n', 'integer').execute()
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED', message: /in step 4 of 4/ })
  await t.rejects(migrator.rollback({ steps: 1 }), {
    code: 'MIGRATION_INVALID',
    message: /its operation 2 has happened and has no way back .+ manage migrate rollback --fake/,
  })
  t.strictSame(await tablesOf(db), ['a', 'b', 'c'])
  await db.schema.dropTable('c').execute()
  t.match(await migrator.migrate(), [{ name: '0001_steps' }])
})

onMysql(t, 'what has no way back and has not happened is in nobody’s way', async (t, { db }) => {
  const directory = folder(t, {
    '0001_steps.ts': migration(
      `m.createTable('a', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
      `m.createTable('b', { columns: { n: { type: 'integer' } }, primaryKey: ['n'] })`,
      `m.runSql({ up: 'insert into a values (1)' })`,
    ),
    '0002_late.ts': creating('late'),
  })
  const migrator = createMigrator({ db, directory })
  await db.schema.createTable('b').addColumn('n', 'integer').execute()
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' })
  // Interrupted again on its way back.
  const { broken } = breaking(db, 0, 'after')
  await createMigrator({ db: broken, directory })
    .rollback({ steps: 1 })
    .catch(() => {})
  t.match(await migrator.status(), [{ direction: 'down' }, { state: 'pending' }])
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0001_steps', direction: 'down' }])
  t.strictSame(await tablesOf(db), ['b'])
  t.strictSame(await migrator.pending(), ['0001_steps', '0002_late'])
})
