import { type KyselyPlugin, RawNode, sql } from 'kysely'
import t, { type Test } from 'tap'
import { createMigrator, type MigrationEvent } from '../../../src/database/migration/migrator.ts'
import { poll } from '../../helpers/network.ts'
import {
  type AnyDatabase,
  creating,
  type Fixture,
  folder,
  inserting,
  migration,
  onMysql,
  open,
  tablesOf,
} from '../fixture.ts'
import { killed } from './killed.ts'

const files = {
  '0001_one.ts': creating('one'),
  '0002_ab.ts': creating('a', 'b'),
  '0003_three.ts': creating('three'),
  '0004_rows.ts': inserting('three', 3),
}

const tell = ({ type, ...event }: MigrationEvent) => `${type} ${'name' in event ? event.name : ''}`

/** How far each migration is, by its row. */
async function places(db: AnyDatabase): Promise<unknown[]> {
  const rows = await db.selectFrom('plinth_migration').selectAll().orderBy('name').execute()
  return rows.map(({ name, applied_at, state, position }) =>
    [name, applied_at ? 'applied' : state, position].filter((one) => one !== null).join(' '),
  )
}

onMysql(
  t,
  'writes what is to be done before each statement, and what is done with it',
  async (t, { db }) => {
    const sequence: string[] = []
    const writer: KyselyPlugin = {
      transformQuery({ node }) {
        const text = RawNode.is(node) ? (node.sqlFragments[0] ?? '') : ''
        const [words] = /^(?:create table|insert into plinth_migration) /.exec(text) ?? []
        if (words) sequence.push(words.split(' ')[0] as string)
        return node
      },
      transformResult: async ({ result }) => result,
    }
    const directory = folder(t, files)
    const migrator = createMigrator({ db: db.withPlugin(writer), directory })
    const on = (event: MigrationEvent) => sequence.push(tell(event))
    await migrator.migrate({ on })
    // What is done is recorded together with what is begun next.
    t.strictSame(sequence, [
      ...['start 0001_one', 'insert', 'create'],
      ...['start 0002_ab', 'insert', 'done 0001_one', 'create', 'insert', 'create'],
      ...['start 0003_three', 'insert', 'done 0002_ab', 'create'],
      ...['start 0004_rows', 'insert', 'done 0003_three'],
      // In the transaction of the code, and at the end.
      ...['insert', 'insert', 'done 0004_rows'],
    ])
  },
)

onMysql(t, 'records what is done before the one that fails', async (t, { db }) => {
  await db.schema.createTable('b').addColumn('n', 'integer').execute()
  const migrator = createMigrator({ db, directory: folder(t, files) })
  const told: string[] = []
  await t.rejects(migrator.migrate({ on: (event) => told.push(tell(event)) }), {
    code: 'MIGRATION_FAILED',
    message: /^The migration 0002_ab failed: in step 2 of 2, Table 'b' already exists /,
  })
  t.strictSame(told, ['start 0001_one', 'start 0002_ab', 'done 0001_one'])
  t.strictSame(await places(db), ['0001_one applied', '0002_ab idle 1'])
  await db.schema.dropTable('b').execute()
  t.equal((await migrator.migrate()).length, 3)
  t.strictSame(await tablesOf(db), ['a', 'b', 'one', 'three'])
})

const waiting = {
  '0001_held.ts': creating('held'),
  '0002_two.ts': creating('two'),
  '0003_wide.ts': migration(`m.addColumn('held', 'wide', { type: 'integer', nullable: true })`),
  '0004_four.ts': creating('four'),
}

/** Applies the first of `waiting`, and keeps every other connection from changing its table until `release`. */
async function hold({ url }: Fixture, t: Test) {
  const directory = folder(t, waiting)
  const migrator = createMigrator({ db: await open(t, url, { queryTimeout: 0 }), directory })
  await migrator.migrate({ to: '0001' })
  const reader = await (await open(t, url)).startTransaction().execute()
  await reader.selectFrom('held').selectAll().execute()
  return { migrator, directory, release: () => reader.commit().execute() }
}

/** The connections that wait for somebody to let go of the table, when there are so many. */
async function waiters(db: AnyDatabase, count: number): Promise<unknown[]> {
  const waiting = sql<{ id: unknown }>`select id from information_schema.processlist
    where db = database() and info like 'alter table%'
    and state like 'Waiting for table metadata lock%'`
  let ids: unknown[] = []
  await poll(async () => {
    ids = (await waiting.execute(db)).rows.map(({ id }) => id)
    return ids.length === count
  })
  return ids
}

onMysql(t, 'knows afterwards where the connection was lost', async (t, fixture) => {
  const { db } = fixture
  const { migrator, release } = await hold(fixture, t)
  const failed = t.rejects(migrator.migrate(), {
    code: 'MIGRATION_FAILED',
    message: /^The migration 0003_wide failed: in step 1 of 1, .+connection was lost/,
  })
  const [id] = await waiters(db, 1)
  await sql`kill ${sql.lit(id)}`.execute(db)
  await failed
  t.strictSame(await places(db), [
    ...['0001_held applied', '0002_two applied', '0003_wide begun 0'],
  ])
  await release()
  t.equal((await migrator.migrate()).length, 2)
  t.strictSame(await tablesOf(db), ['four', 'held', 'two'])
})

onMysql(t, 'waits for what the server still does for a process that died', async (t, fixture) => {
  const { db, url } = fixture
  const { migrator, directory, release } = await hold(fixture, t)
  await migrator.migrate({ to: '0002' })
  const [wide] = await migrator.plan()
  await killed(db, directory, '0003_wide')
  const patient = await open(t, url, { queryTimeout: 0 })
  const died = sql.raw(wide?.statements[0] as string).execute(patient)
  await waiters(db, 1)
  const results = migrator.migrate()
  await waiters(db, 2)
  await release()
  await died
  t.match(await results, [{ name: '0003_wide' }, { name: '0004_four' }])
  t.strictSame(await places(db), [
    ...['0001_held applied', '0002_two applied', '0003_wide applied', '0004_four applied'],
  ])
})
