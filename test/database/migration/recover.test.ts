import t from 'tap'
import { createMigrator, type MigrationEvent } from '../../../src/database/migration/migrator.ts'
import { creating, folder, onMysql, tablesOf } from '../fixture.ts'
import { killed } from './killed.ts'

const files = {
  '0001_one.ts': creating('one'),
  '0002_ab.ts': creating('a', 'b'),
  '0003_three.ts': creating('three'),
}
const names = ['0001_one', '0002_ab', '0003_three']
const tables = ['a', 'b', 'one', 'three']

const refused = (message: string | RegExp) => ({ code: 'MIGRATION_INTERRUPTED', message })
const finishFirst = (name: string) =>
  refused(
    new RegExp(
      `^The migration ${name} was interrupted\\. It has to be ended before anything else, .+: run manage migrate to finish it, or manage migrate rollback to take it back\\.`,
    ),
  )

/** What they tell, in a word each: `resume 0002_ab 1`. */
function telling(): { told: string[]; on: (event: MigrationEvent) => void } {
  const told: string[] = []
  const on = (event: MigrationEvent) => {
    if (event.type === 'wait') return
    const { type, name } = event
    told.push(type === 'resume' ? `${type} ${name} ${event.position}` : `${type} ${name}`)
  }
  return { told, on }
}

const [ONE, AB, THREE] = ['done 0001_one', 'done 0002_ab', 'done 0003_three']
const HAPPENED = ['resume 0001_one 1', ONE]
// By how many statements have happened. The first that has not is run by itself.
const stories = [
  ['start 0001_one', ONE, 'start 0002_ab', 'start 0003_three', AB, THREE],
  [...HAPPENED, 'start 0002_ab', AB, 'start 0003_three', THREE],
  [...HAPPENED, 'resume 0002_ab 1', AB, 'start 0003_three', THREE],
  [...HAPPENED, 'resume 0002_ab 2', AB, 'start 0003_three', THREE],
  [...HAPPENED, 'resume 0002_ab 2', AB, 'resume 0003_three 1', THREE],
]

for (const [statements, events] of stories.entries()) {
  onMysql(t, `goes on where ${statements} statements had happened`, async (t, { db }) => {
    const directory = folder(t, files)
    await killed(db, directory, statements)
    const migrator = createMigrator({ db, directory })
    const { told, on } = telling()
    const results = await migrator.migrate({ on })
    t.strictSame(
      results.map(({ name }) => name),
      names,
    )
    t.strictSame(told, events)
    t.strictSame(await tablesOf(db), tables)
    t.match(
      await migrator.status(),
      names.map((name) => ({ name, state: 'applied' })),
    )
  })
}

onMysql(t, 'shows what may have happened, and takes that back first', async (t, { db }) => {
  const directory = folder(t, files)
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  await killed(db, directory, 1, 1)
  const doubtful = [{ state: 'applied' }, { state: 'interrupted' }, { state: 'interrupted' }]
  t.match(await migrator.status(), doubtful)
  t.strictSame(await migrator.pending(), ['0002_ab', '0003_three'])
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0002_ab', direction: 'down' }])
  t.strictSame(await tablesOf(db), ['one'])
  t.match(await migrator.migrate({ to: '0002' }), [{ name: '0002_ab' }])
  t.match(await migrator.status(), [
    { state: 'applied' },
    { state: 'applied' },
    { state: 'pending' },
  ])
  t.strictSame(await tablesOf(db), ['a', 'b', 'one'])
})

onMysql(t, 'refuses to end before one that may have happened', async (t, { db }) => {
  const directory = folder(t, files)
  await killed(db, directory, 3)
  const migrator = createMigrator({ db, directory })
  await t.rejects(migrator.migrate({ to: '0002' }), finishFirst('0003_three'))
  await migrator.migrate()
  t.strictSame(await tablesOf(db), tables)
})

onMysql(t, 'refuses a file that is another now, if it may have happened', async (t, { db }) => {
  await killed(db, folder(t, files), 1)
  const form = { ...files, '0002_ab.ts': `${files['0002_ab.ts']}// a comment` }
  const changed = createMigrator({ db, directory: folder(t, form, 'form') })
  await t.rejects(
    changed.migrate(),
    refused(
      'The migration 0002_ab was interrupted. It has happened, perhaps, and its file is another now; restore it, or, where only its form is another, run manage migrate --accept-changed 0002_ab',
    ),
  )
  const other = folder(t, { ...files, '0002_ab.ts': creating('a', 'x') }, 'other')
  const acceptChanged = ['0002_ab']
  await t.rejects(
    createMigrator({ db, directory: other }).migrate({ acceptChanged }),
    refused(/\n {2}\[\?\] create table `a`(.|\n)+\n {2}\[\?\] create table `x`(.|\n)+ restore it$/),
  )
  t.strictSame(await tablesOf(db), ['one'])
  t.equal((await changed.migrate({ acceptChanged })).length, 3)
  t.strictSame(await tablesOf(db), tables)
})

onMysql(t, 'takes files as they are behind the first that has not happened', async (t, { db }) => {
  await killed(db, folder(t, files), 1)
  const { '0003_three.ts': _, ...fewer } = files
  const directory = folder(t, { ...fewer, '0003_other.ts': creating('other') }, 'fewer')
  t.equal((await createMigrator({ db, directory }).migrate()).length, 3)
  t.strictSame(await tablesOf(db), ['a', 'b', 'one', 'other'])
})

onMysql(t, 'refuses to go on without a file that may have happened', async (t, { db }) => {
  await killed(db, folder(t, files), 3)
  const { '0003_three.ts': _, ...fewer } = files
  const without = createMigrator({ db, directory: folder(t, fewer, 'fewer') })
  await t.rejects(without.migrate(), finishFirst('0003_three'))
  t.match(await without.status(), [{ state: 'interrupted' }, {}, { name: '0003_three' }])
})

onMysql(t, 'finishes them before a file that came later', async (t, { db }) => {
  await killed(db, folder(t, files), 2)
  const directory = folder(t, { ...files, '0000_late.ts': creating('late') }, 'merged')
  const migrator = createMigrator({ db, directory })
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_OUT_OF_ORDER' })
  const { told, on } = telling()
  await migrator.migrate({ allowOutOfOrder: true, on })
  t.strictSame(told.slice(0, 2), ['resume 0002_ab 1', AB])
  t.strictSame(await tablesOf(db), [...tables.slice(0, 2), 'late', ...tables.slice(2)])
})

onMysql(t, 'records them unseen where that is asked for, all or none', async (t, { db }) => {
  const directory = folder(t, files)
  await killed(db, directory, 2)
  const migrator = createMigrator({ db, directory })
  await t.rejects(migrator.migrate({ fake: true, to: '0002' }), finishFirst('0003_three'))
  t.equal((await migrator.pending()).length, 3)
  t.equal((await migrator.migrate({ fake: true })).length, 3)
  t.strictSame(await migrator.pending(), [])
  t.strictSame(await tablesOf(db), ['a', 'one'])
})
