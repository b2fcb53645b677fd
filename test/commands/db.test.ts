import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { open } from '../database/fixture.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { atEveryPlace } from './database-place.ts'
import { creating, SERVICE } from './database-service.ts'

const ok = { code: 0, stderr: '' }
const files = {
  'src/service.ts': SERVICE,
  'migrations/0001_item.ts': creating('item'),
  'seeds/01_items.ts': `
import { defineSeed } from 'plinth'
export default defineSeed({
  summary: 'One item',
  async run({ db, progress }) {
    await db.insertInto('item').values({ n: 7 }).execute()
    await progress(1, 1)
  },
})`,
}

atEveryPlace(t, 'creates and drops the database', files, async (t, { name, run, url }, driver) => {
  await run('db drop --force')
  t.match(await run('db create'), { ...ok, stdout: `created ${name}\n` })
  t.match(await run('db create'), { ...ok, stdout: `${name} is there already\n` })
  if (driver.name === 'mysql') t.equal(await charsetOf(url), 'utf8mb4')
  await addItem(t, url)
  t.match(await run('db drop --force'), { ...ok, stdout: `dropped ${name}\n` })
  t.match(await run('db drop --force'), { ...ok, stdout: `there is no ${name}\n` })
  t.match(await run('db create'), { ...ok, stdout: `created ${name}\n` })
  t.strictSame(await itemsOf(t, url), 'no table')
})

atEveryPlace(t, 'resets the database', files, async (t, { name, run, url }) => {
  t.match(await run('db reset --force'), {
    code: 0,
    stdout: new RegExp(
      `^(dropped ${name}\n)?created ${name}\napplied 0001_item .*\n01_items: 1 row`,
    ),
  })
  t.strictSame(await itemsOf(t, url), [7])
  t.match(await run('db reset --force --no-seed'), {
    code: 0,
    stdout: new RegExp(`^dropped ${name}\ncreated ${name}\napplied 0001_item .*\n$`),
  })
  t.strictSame(await itemsOf(t, url), [])
})

t.test('without a database', async (t) => {
  const service = writeService(t, { ...files, '.env': 'NODE_ENV=production' })
  for (const args of ['db create', 'db drop --force', 'db reset --force', 'db dump']) {
    t.match(await manage(t, args.split(' '), { service }), {
      code: 1,
      stdout: '',
      stderr: /^error DATABASE_MISSING: /,
    })
  }
  t.match(await manage(t, ['db', 'drop', '--nope'], { service }), { code: 2, stdout: '' })
})

async function charsetOf(url: string): Promise<unknown> {
  const connection = await createConnection({ uri: url })
  const [rows] = await connection.query('select @@character_set_database as charset')
  await connection.end()
  return (rows as { charset: string }[])[0]?.charset
}

async function addItem(t: Test, url: string): Promise<void> {
  const db = await open(t, url)
  await db.schema.createTable('item').addColumn('n', 'integer').execute()
  await db.insertInto('item').values({ n: 1 }).execute()
}

/** The numbers in the table `item`. */
async function itemsOf(t: Test, url: string): Promise<unknown> {
  const db = await open(t, url)
  try {
    return (await db.selectFrom('item').select('n').execute()).map(({ n }) => n)
  } catch {
    return 'no table'
  }
}
