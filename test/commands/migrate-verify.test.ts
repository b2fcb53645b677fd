import t from 'tap'
import { migration, open } from '../database/fixture.ts'
import { runAll } from '../database/inspect/schema.ts'
import { onEveryDatabase } from './database-service.ts'

const SERVICE = `
import { column, decimal, defineModel, defineService, Type } from 'plinth'
const Item = defineModel('item', {
  columns: {
    id: Type.Integer(),
    name: column(Type.String({ maxLength: 20 }), { comparison: 'ignoreCase' }),
    price: decimal(10, 2),
    size: Type.Integer({ default: 1 }),
  },
  generated: ['id'],
  unique: [['name']],
})
const Part = defineModel('part', { columns: { id: Type.Integer() } })
export default defineService({ name: 'shop', modules: {}, models: [Item, Part] })`

const item = `{
  columns: {
    id: { type: 'bigint', generated: true },
    name: { type: 'varchar(20)', comparison: 'ignoreCase' },
    price: { type: 'decimal(10,2)' },
    size: { type: 'bigint', default: 1 },
  },
  primaryKey: ['id'],
  unique: [{ name: 'item_name_key', columns: ['name'] }],
}`

const files = {
  'src/service.ts': SERVICE,
  'migrations/0001_item.ts': migration(`m.createTable('item', ${item})`),
  'migrations/0002_part.ts': migration(
    `m.createTable('part', { columns: { id: { type: 'bigint' } }, primaryKey: ['id'] })`,
  ),
}

onEveryDatabase(t, 'models, migrations and tables that agree', files, async (t, { run, url }) => {
  t.match(await run('migrate'), { code: 0 })
  const db = await open(t, url)
  await runAll(db, ['create table others (n int)'])
  t.match(await run('migrate', 'verify'), {
    code: 0,
    stdout: 'models, migrations and tables agree\n',
    stderr: '',
  })
  t.match(await run('migrate', 'verify', '--json'), { code: 0, stdout: '[]\n' })
})

const changed = {
  ...files,
  'src/service.ts': SERVICE.replace('size: Type.Integer({ default: 1 })', 'color: Type.Boolean()'),
}
onEveryDatabase(t, 'what differs is told by table', changed, async (t, { run, url }) => {
  t.match(await run('migrate', '--to', '0001'), { code: 0 })
  const db = await open(t, url)
  await runAll(db, [
    'alter table item add column note int null',
    'drop index item_name_key on item'.replace(
      / on item$/,
      url.startsWith('sqlite') ? '' : ' on item',
    ),
  ])
  const told = await run('migrate', 'verify')
  t.match(told, { code: 1, stderr: '' })
  t.equal(
    told.stdout,
    `item
  models    + column item.color boolean
  models    - column item.size
  database  note: is not wanted: integer null
  database  item_name_key: is missing; wanted: unique (name)
`,
    'a table of a migration that is not applied yet is not missing',
  )
  t.match(JSON.parse((await run('migrate', 'verify', '--json')).stdout), [
    { table: 'item', of: 'models', difference: '+ column item.color boolean' },
    { table: 'item', of: 'models' },
    { table: 'item', of: 'database', difference: 'item.note: is not wanted: integer null' },
    { table: 'item', of: 'database' },
  ])
  await runAll(db, ['drop table item'])
  t.match(await run('migrate', 'verify'), {
    code: 1,
    stdout: /^ {2}database {2}the table is missing$/m,
  })
})

const key = {
  ...files,
  'src/service.ts': SERVICE.replace(
    "defineModel('part', { columns: { id: Type.Integer() } })",
    "defineModel('part', { columns: { id: Type.Integer(), n: Type.Integer() }, primaryKey: ['id', 'n'] })",
  ),
}
onEveryDatabase(t, 'so is what no migration can do', key, async (t, { run }) => {
  t.match(await run('migrate'), { code: 0 })
  t.match(await run('migrate', 'verify'), {
    code: 1,
    stdout:
      /^part\n {2}models {4}No operation changes the primary key of part from \(id\) to \(id, n\)/,
  })
})
