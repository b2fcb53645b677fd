import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inserting, open, tablesOf } from '../database/fixture.ts'
import { creating, onEveryDatabase, onSqlite, type Shop } from './database-service.ts'

const files = {
  'migrations/0001_item.ts': creating('item'),
  'migrations/0002_order.ts': creating('order'),
  'migrations/0003_rows.ts': inserting('item', 7),
}
const ok = { code: 0, stderr: '' }
const names = (stdout: string) =>
  stdout
    .replaceAll(/ \(\d+ ms\)/g, '')
    .trimEnd()
    .split('\n')
const dialect = ({ url }: Shop) => (url.startsWith('mysql') ? 'mysql' : 'sqlite')

const CREATE = {
  mysql: 'create table `item` (',
  sqlite: 'create table "item" ',
}

onEveryDatabase(t, '--plan prints the SQL and changes nothing', files, async (t, shop) => {
  const { migrate, run } = shop
  const { stdout, ...rest } = await run('migrate', '--plan')
  t.match(rest, ok)
  t.match(stdout, `-- 0001_item\n${CREATE[dialect(shop)]}`)
  t.match(
    stdout,
    /;\n\n-- 0002_order\ncreate table (.|\n)+;\n\n-- 0003_rows\n-- code: up changes rows;\n/,
  )
  t.match(JSON.parse((await run('migrate', '--plan', '--to', '2', '--json')).stdout), {
    error: { code: 'MIGRATION_UNKNOWN' },
  })
  t.match(JSON.parse((await run('migrate', '--plan', '--to', '0001', '--json')).stdout), [
    { name: '0001_item', statements: [CREATE[dialect(shop)]] },
  ])
  t.strictSame(await (await open(t, shop.url)).introspection.getTables(), [])
  await migrate()
  t.match(await run('migrate', '--plan'), { ...ok, stdout: '-- nothing to apply\n' })
})

onSqlite(t, '--to applies up to one', files, async (t, { run, url }) => {
  const applied = await run('migrate', '--to', '0001')
  t.match(applied, ok)
  t.strictSame(names(applied.stdout), ['applied 0001_item'])
  t.match(await run('migrate', '--to', '0001_item'), { ...ok, stdout: 'nothing to apply\n' })
  t.strictSame(await tablesOf(await open(t, url)), ['item'])
  t.match(await run('migrate', '--to', '0009'), {
    code: 1,
    stdout: '',
    stderr:
      'error MIGRATION_UNKNOWN: There is no migration 0009; there are: 0001_item, 0002_order, 0003_rows\n',
  })
})

onSqlite(t, '--fake records what is there already', files, async (t, { run, url }) => {
  const db = await open(t, url)
  await db.schema.createTable('item').addColumn('n', 'integer').execute()
  const recorded = await run('migrate', '--fake', '--to', '0001')
  t.match(recorded, ok)
  t.strictSame(names(recorded.stdout), ['recorded 0001_item'])
  t.strictSame(names((await run('migrate')).stdout), ['applied 0002_order', 'applied 0003_rows'])
  t.strictSame(await db.selectFrom('item').selectAll().execute(), [{ n: 7 }])
})

onSqlite(t, '--allow-out-of-order', files, async (t, { migrate, run, service }) => {
  const late = join(service, 'migrations/0001_item.ts')
  rmSync(late)
  rmSync(join(service, 'migrations/0003_rows.ts'))
  await migrate()
  writeFileSync(late, creating('item'))
  t.match(await run('migrate'), {
    code: 1,
    stdout: '',
    stderr: /^error MIGRATION_OUT_OF_ORDER: The migration 0001_item comes before 0002_order, /,
  })
  const applied = await run('migrate', '--allow-out-of-order')
  t.strictSame(names(applied.stdout), ['applied 0001_item'])
})

onSqlite(t, '--accept-changed', files, async (t, { run, service }) => {
  t.match(await run('migrate', '--accept-changed', '0001_item', '--to', '0002'), ok)
  const file = join(service, 'migrations/0002_order.ts')
  writeFileSync(file, `${creating('order')} // in other words`)
  t.match(await run('migrate', 'status'), {
    ...ok,
    stdout: /^applied {2}0001_item .*\nchanged {2}0002_order .*\npending {2}0003_rows\n$/,
  })
  for (const command of [['migrate'], ['migrate', '--plan'], ['migrate', 'rollback']]) {
    t.match(await run(...command), {
      code: 1,
      stdout: '',
      stderr: `error MIGRATION_CHANGED: The migration ${file} has been changed since it was applied: `,
    })
  }
  const applied = await run('migrate', '--accept-changed', '0002_order')
  t.strictSame(names(applied.stdout), ['applied 0003_rows'])
  t.match(JSON.parse((await run('migrate', 'status', '--json')).stdout), [
    { state: 'applied' },
    { name: '0002_order', state: 'applied', applied_at: String },
    { state: 'applied' },
  ])
})

onEveryDatabase(
  t,
  'one that is applied and has got another number is recorded by that',
  { 'migrations/0001_item.ts': creating('item'), 'migrations/0002_order.ts': creating('order') },
  async (t, { migrate, run, service, url }) => {
    await migrate()
    // The other branch is merged: its migration has the number, this one the next.
    const file = (name: string) => join(service, 'migrations', name)
    renameSync(file('0002_order.ts'), file('0003_order.ts'))
    writeFileSync(file('0002_note.ts'), creating('note'))
    const states = async () =>
      JSON.parse((await run('migrate', 'status', '--json')).stdout).map(
        ({ name, state }: { name: string; state: string }) => `${name} ${state}`,
      )
    t.strictSame(await states(), ['0001_item applied', '0002_note pending', '0003_order applied'])
    t.match(await run('migrate', '--plan'), { code: 1, stderr: /MIGRATION_OUT_OF_ORDER/ })
    const applied = await run('migrate', '--allow-out-of-order')
    t.match(applied, {
      code: 0,
      stderr: '0002_order is 0003_order now: recorded by that name\n',
    })
    t.strictSame(names(applied.stdout), ['applied 0002_note'])
    const db = await open(t, url)
    t.strictSame(await db.selectFrom('plinth_migration').select('name').orderBy('name').execute(), [
      { name: '0001_item' },
      { name: '0002_note' },
      { name: '0003_order' },
    ])
    t.strictSame((await tablesOf(db)).toSorted(), ['item', 'note', 'order'])
    await t.test('and taken back by it, where nothing was applied since', async (t) => {
      renameSync(file('0003_order.ts'), file('0004_order.ts'))
      const back = await run('migrate', 'rollback', '--yes')
      t.match(back, { code: 0, stderr: '0003_order is 0004_order now: recorded by that name\n' })
      t.strictSame(names(back.stdout), ['took back 0004_order'])
      t.strictSame((await tablesOf(db)).toSorted(), ['item', 'note'])
    })
    await t.test('two files with its content: nobody knows which it is', async (t) => {
      writeFileSync(file('0005_note.ts'), creating('note'))
      renameSync(file('0002_note.ts'), file('0003_note.ts'))
      t.match(await run('migrate'), { code: 1, stderr: /MIGRATION_INVALID.*0002_note.*is gone/ })
    })
  },
)
