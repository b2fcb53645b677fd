import t from 'tap'
import { migration, open } from '../database/fixture.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { onEveryDatabase, onSqlite } from './database-service.ts'

/** A seed that numbers its one row, in one transaction with what a model fills in. */
const counted = {
  'src/service.ts': `
import { defineModel, defineService, Type } from 'plinth'
const Item = defineModel('item', {
  columns: { id: Type.Integer(), name: Type.String({ maxLength: 20 }) }, generated: ['id'],
  audit: true, softDelete: true,
})
export default defineService({ name: 'shop', modules: {}, models: [Item], actor: () => 'ann' })`,
  'migrations/0001_item.ts': migration(`m.createTable('item', { columns: {
    id: { type: 'integer', generated: true }, name: { type: 'varchar(20)' },
    created_at: { type: 'datetime' }, created_by: { type: 'varchar(255)', nullable: true },
    updated_at: { type: 'datetime' }, updated_by: { type: 'varchar(255)', nullable: true },
    deleted_at: { type: 'datetime', nullable: true },
  }, primaryKey: ['id'] })`),
  'seeds/01_item.ts': `
import { defineSeed } from 'plinth'
export default defineSeed({
  summary: 'One item',
  async run({ db, progress }) {
    await db.insertInto('item' as never).values({ name: 'one' } as never).execute()
    if (process.env.UNLUCKY) throw new Error('no luck')
    await progress(1)
  },
})`,
}
const times = (text: string) => text.replace(/in [\d.]+ s \([\d,]+ rows/, 'in N s (N rows')
const line = '01_item: 1 rows, 1 of them new, in N s (N rows/s)\n'

onSqlite(t, 'undoes a seed that throws', counted, async (t, { migrate, run, runIn, url }) => {
  await migrate()
  t.match(await runIn({ UNLUCKY: '1' }, 'seed'), {
    code: 1,
    stdout: '',
    stderr:
      'error SEED_FAILED: The seed 01_item failed: no luck. Nothing of it is kept; mend it and run manage seed again\n',
  })
  const db = await open(t, url)
  t.strictSame(await db.selectFrom('item').selectAll().execute(), [])
  t.equal(times((await run('seed')).stdout), line)
  t.match(await db.selectFrom('item').selectAll().execute(), [
    { name: 'one', created_by: 'ann', created_at: String, updated_by: 'ann', deleted_at: null },
  ])
})

onEveryDatabase(t, '--fresh starts anew', counted, async (t, { migrate, run, runIn, url }) => {
  await migrate()
  await run('seed')
  const db = await open(t, url)
  const old = { created_at: new Date(0), updated_at: new Date(0), deleted_at: new Date(0) }
  await db
    .insertInto('item')
    .values({ name: 'flagged', ...old })
    .execute()
  const rows = () => db.selectFrom('item').select(['id', 'name']).execute()
  const both = await rows()
  t.equal(both.length, 2)
  t.match(await runIn({ NODE_ENV: 'production' }, 'seed', '--fresh'), {
    code: 1,
    stdout: '',
    stderr:
      'error PRODUCTION_REFUSED: This is production and seed --fresh empties all tables; add --force to do it all the same\n',
  })
  t.strictSame(await rows(), both)
  const { code, stdout, stderr } = await runIn(
    { NODE_ENV: 'production' },
    'seed',
    '--fresh',
    '--force',
  )
  t.strictSame(
    { code, stderr, stdout: times(stdout) },
    { code: 0, stderr: '', stdout: `emptied 2 tables\n${line}` },
  )
  t.strictSame(await rows(), [{ id: 1, name: 'one' }])
  t.match(await run('migrate'), { code: 0, stdout: 'nothing to apply\n' })
})

onSqlite(t, '--fresh asks on a terminal', counted, async (t, { migrate, onTerminal, url }) => {
  await migrate()
  const db = await open(t, url)
  await db
    .insertInto('item')
    .values({ name: 'mine', created_at: new Date(0), updated_at: new Date(0) })
    .execute()
  const rows = () => db.selectFrom('item').select('name').execute()
  for (const [keys, code, left] of [
    ['n\r', 1, 'mine'],
    ['\x03', 1, 'mine'],
    ['y\r', 0, 'one'],
  ] as const) {
    const terminal = onTerminal('seed', '--fresh')
    await terminal.until('stdout', /Empty all tables\? Their rows are lost\. \[y\/N\] /)
    terminal.type(keys)
    const ended = await terminal.ended
    t.equal(ended.code, code)
    if (code === 1) t.match(ended.stdout, 'error CONFIRMATION_MISSING: Nothing has been done: seed')
    t.strictSame(await rows(), [{ name: left }])
  }
  t.match(await onTerminal('seed', '--fresh', '--yes').ended, { code: 0 })
})

t.test('exits with 2 where it is used wrongly', async (t) => {
  const service = writeService(t, counted)
  for (const wrong of ['--fresh item', '--fresh --again', '--force', '--yes']) {
    t.match(await manage(t, ['seed', ...wrong.split(' ')], { service }), { code: 2, stdout: '' })
  }
})
