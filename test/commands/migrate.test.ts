import t from 'tap'
import { migration, open } from '../database/fixture.ts'
import { loadedBy } from '../helpers/loaded.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { creating, onEveryDatabase, onSqlite, SERVICE } from './database-service.ts'

const files = {
  'migrations/0001_item.ts': creating('item'),
  'migrations/0002_order.ts': creating('order'),
}
const ok = { code: 0, stderr: '' }
const ms = (text: string) => text.replaceAll(/\(\d+ ms\)/g, '(N ms)')

onEveryDatabase(t, 'applies, lists and takes back', files, async (t, { run }) => {
  t.match(await run('migrate', 'status'), {
    ...ok,
    stdout: 'pending  0001_item\npending  0002_order\n',
  })
  const applied = await run('migrate')
  t.match(applied, ok)
  t.equal(ms(applied.stdout), 'applied 0001_item (N ms)\napplied 0002_order (N ms)\n')
  t.match(await run('migrate'), { ...ok, stdout: 'nothing to apply\n' })
  t.match(await run('migrate', 'status'), {
    ...ok,
    stdout: /^applied {2}0001_item {3}\d{4}-.+Z\napplied {2}0002_order {2}\d{4}-.+Z\n$/,
  })
  const back = await run('migrate', 'rollback', '--steps', '3')
  t.match(back, ok)
  t.equal(ms(back.stdout), 'took back 0002_order (N ms)\ntook back 0001_item (N ms)\n')
  t.match(await run('migrate', 'rollback'), { ...ok, stdout: 'nothing to take back\n' })
})

onSqlite(t, 'answers in JSON', files, async (t, { run }) => {
  t.match(JSON.parse((await run('migrate', '--json')).stdout), [
    { name: '0001_item', direction: 'up', duration_ms: Number },
    { name: '0002_order', direction: 'up', duration_ms: Number },
  ])
  t.match(JSON.parse((await run('migrate', 'rollback', '--json')).stdout), [
    { name: '0002_order', direction: 'down', duration_ms: Number },
  ])
  t.match(JSON.parse((await run('migrate', 'status', '--json')).stdout), [
    { name: '0001_item', state: 'applied', applied_at: String, duration_ms: Number },
    { name: '0002_order', state: 'pending', applied_at: null, duration_ms: null },
  ])
})

onSqlite(t, 'takes nothing back in production unless forced', files, async (t, { runIn }) => {
  const env = { NODE_ENV: 'production' }
  t.match(await runIn(env, 'migrate'), { code: 0 })
  t.match(await runIn(env, 'migrate', 'rollback'), {
    code: 1,
    stdout: '',
    stderr:
      'error PRODUCTION_REFUSED: This is production and a rollback drops tables and columns with their data; add --force to do it all the same\n',
  })
  t.match(await runIn(env, 'migrate', 'rollback', '--force'), {
    code: 0,
    stdout: /^took back 0002_order/,
  })
})

const broken = {
  ...files,
  'migrations/0003_bad.ts': migration(`m.runSql({ up: 'insert into nowhere values (1)' })`),
}
onSqlite(t, 'exits with 1 where a migration fails', broken, async (t, { run }) => {
  const failed = await run('migrate')
  t.match(failed, { code: 1, stderr: /^error MIGRATION_FAILED: The migration 0003_bad failed: / })
  t.equal(ms(failed.stdout), 'applied 0001_item (N ms)\napplied 0002_order (N ms)\n')
  const again = await run('migrate', '--json')
  t.match(
    { ...again, stdout: JSON.parse(again.stdout) },
    {
      code: 1,
      stdout: { error: { code: 'MIGRATION_FAILED', message: /0003_bad/ } },
    },
  )
})

const unreadable = { 'migrations/0001_bad.ts': 'export default [\n  await (\n]' }
onSqlite(t, 'exits with 1 where a file cannot be read', unreadable, async (t, { start }) => {
  t.match(await start('migrate').ended, {
    code: 1,
    stdout: '',
    stderr: /^error MIGRATION_INVALID: The migration \S+\/0001_bad\.ts:\d cannot be used: /,
  })
})

t.test('exits with 2 where it is used wrongly', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  for (const args of [
    ['migrate', '--nope'],
    ['migrate', '--resume', '--mark-applied'],
    ['migrate', 'rollback', '--steps', '0'],
    ['migrate', 'rollback', '--resume', '--mark-applied'],
  ]) {
    t.match(await manage(t, args, { service }), { code: 2, stdout: '' })
  }
})

t.test('exits with 1 where no database is attached, as by default in production', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE })
  const env = { NODE_ENV: 'production' }
  const runs = ['migrate', 'migrate status', 'migrate rollback --force', 'seed'].map((words) =>
    manage(t, words.split(' '), { service, env }),
  )
  for (const ended of await Promise.all(runs)) {
    t.match(ended, { code: 1, stdout: '', stderr: /^error DATABASE_MISSING: / })
  }
})

const audited = {
  'src/service.ts': `
import { defineModel, defineService, Type } from 'plinth'
const Item = defineModel('item', {
  columns: { id: Type.Integer(), name: Type.String({ maxLength: 20 }) }, audit: true, softDelete: true,
})
export default defineService({ name: 'shop', modules: {}, models: [Item] })`,
  // As the model was once.
  'migrations/0001_item.ts': migration(
    `m.createTable('item', { columns: { id: { type: 'integer' }, name: { type: 'varchar(20)' } }, primaryKey: ['id'] })`,
    `m.runData({ up: async (db) => {
      await db.insertInto('item').values([{ id: 1, name: 'one' }, { id: 2, name: 'two' }]).execute()
      await db.deleteFrom('item').where('id', '=', 1).execute()
    } })`,
  ),
}
onSqlite(t, 'knows nothing of the models of today', audited, async (t, { run, url }) => {
  t.match(await run('migrate'), { code: 0, stderr: '' })
  const db = await open(t, url)
  t.strictSame(await db.selectFrom('item').selectAll().execute(), [{ id: 2, name: 'two' }])
})

t.test('what needs the database alone loads nothing of a server', async (t) => {
  const service = writeService(t)
  const env = {
    NODE_ENV: 'production',
    DATABASE_URL: `sqlite:${service}/data/some.db`,
    PORT: '8000',
  }
  for (const words of [
    'migrate',
    'migrate status',
    'seed',
    'db create',
    'makemigrations --empty',
  ]) {
    const loaded = await loadedBy(t, words.split(' '), { service, env })
    t.ok(loaded.includes('fastify-plugin'), `${words}: ${loaded}`)
    t.strictSame(
      loaded.filter((name) =>
        /^(node:(http|https|tls|cluster)|fastify|ajv|pino|mysql2|fast-json-stringify)$/.test(name),
      ),
      [],
      words,
    )
  }
})
