import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readSchema } from '../../src/database/inspect/differences.ts'
import { open } from '../database/fixture.ts'
import { create, EVERYTHING, runAll } from '../database/inspect/schema.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { atEveryPlace, type Place } from './database-place.ts'
import { creating, SERVICE } from './database-service.ts'

const files = { 'src/service.ts': SERVICE }
const ok = { code: 0, stderr: '' }

const USING = `
import { defineService } from 'plinth'
import { models } from './models.ts'
export default defineService({ name: 'shop', modules: {}, models })`

/** The names of what is in the folder of the service, but for its database. */
function listOf(service: string): string[] {
  const all = readdirSync(service, { recursive: true, encoding: 'utf8' })
  return all.filter((name) => /\.(ts|json)$/.test(name)).sort()
}

async function fill(t: Test, { url }: Place, dialect: 'mysql' | 'sqlite'): Promise<void> {
  await create(await open(t, url), EVERYTHING, dialect)
}

atEveryPlace(t, 'moves a service in', files, async (t, place, driver) => {
  const { service, run } = place
  await fill(t, place, driver.name)
  const { code, stdout, stderr } = await run(`inspectdb --out ${service}/src --baseline`)
  t.equal(code, 0)
  t.match(stdout, `wrote ${service}/src/city/model.ts\n`)
  t.match(stdout, /wrote \S*migrations\/0001_initial\.ts\n$/)
  t.equal(
    stderr,
    'the database has these tables already: there, run manage migrate --fake --to 0001_initial\n',
  )
  t.strictSame(listOf(service), [
    'migrations/0001_initial.ts',
    'migrations/schema.json',
    'package.json',
    'src/city/model.ts',
    'src/country/model.ts',
    'src/models.ts',
    'src/sample/model.ts',
    'src/service.ts',
    'src/things.ts',
  ])

  writeFileSync(join(service, 'src/service.ts'), USING)
  t.match(await run('makemigrations --check'), { ...ok, stdout: 'no changes\n' })
  t.match(await run('migrate --fake --to 0001_initial'), {
    code: 0,
    stdout: /^recorded 0001_initial/,
  })
  t.match(await run('migrate'), { ...ok, stdout: 'nothing to apply\n' })

  const before = await run('inspectdb --json')
  t.match(before, ok)
  await run('db reset --force --no-seed')
  t.strictSame((await run('inspectdb --json')).stdout, before.stdout, 'made anew, it is the same')
})

atEveryPlace(t, 'prints the models and what they leave out', files, async (t, place) => {
  const { run, url } = place
  await runAll(await open(t, url), [
    'create table city (id bigint not null, name varchar(20) not null, primary key (id), constraint long_name check (name > 2))',
    'create table loose (n int)',
    'create view looking as select name from city',
  ])
  const { code, stdout, stderr } = await run('inspectdb')
  t.equal(code, 0)
  const check = /city: the check long_name \(.?name.? > 2\) is left out/
  t.match(stderr, check)
  t.match(stderr, 'note: the view looking is left out\n')
  t.match(stderr, 'note: loose: The model loose cannot be used: it has no primary key')
  t.match(
    stdout,
    /^import { defineModel, Type } from 'plinth'\n\n\/\/ the view looking is left out\n\n/,
  )
  t.match(
    stdout,
    /\n\/\/ the check long_name [^\n]*\nexport const City = defineModel\('city', {\n {2}columns: {\n {4}id: Type.Integer\(\),\n {4}name: Type.String\({ maxLength: 20 }\),\n {2}},\n}\)\n/,
  )
  t.match(stdout, /\nexport const models = \[City, Loose\]\n$/)

  t.match(await run('inspectdb --table city'), {
    code: 0,
    stdout: /\nexport const models = \[City\]\n$/,
  })
  t.match(await run('inspectdb --table city --table town --table x'), {
    code: 1,
    stdout: '',
    stderr: 'error TABLE_UNKNOWN: The database has no table town, x; it has: city, loose\n',
  })
  t.match(JSON.parse((await run('inspectdb --json --table city')).stdout), {
    tables: { city: { columns: { id: { type: 'bigint' } }, primaryKey: ['id'] } },
    notes: [check],
    files: [],
  })
})

t.test('replaces no file unasked', async (t) => {
  const migrations = { 'migrations/0001_own.ts': creating('own') }
  const service = writeService(t, {
    ...files,
    'src/city/model.ts': 'mine',
    '.env': 'DATABASE_URL=sqlite:shop.db',
  })
  await runAll(await open(t, `sqlite:${join(service, 'shop.db')}`), [
    'create table city (id integer primary key autoincrement)',
  ])
  const run = (args: string) => manage(t, ['inspectdb', ...args.split(' ')], { service })
  const out = `--out ${service}/src`
  t.match(await run(out), {
    code: 1,
    stdout: '',
    stderr: `error FILE_EXISTS: Nothing has been written, because this is there already: ${service}/src/city/model.ts; add --force to replace it\n`,
  })
  t.notOk(existsSync(join(service, 'src/models.ts')))
  t.match(await run(`${out} --force`), ok)
  t.match(readFileSync(join(service, 'src/city/model.ts'), 'utf8'), /^import { defineModel/)
  t.match(await run('--force'), { code: 2, stdout: '' })

  writeFileSync(join(service, 'src/service.ts'), SERVICE)
  t.match(await run(`--out ${service}/package.json`), {
    code: 1,
    stderr:
      /^error FILE_UNWRITABLE: \S+package\.json\/city\/model\.ts cannot be written: [^\n]+\n$/,
  })
  const other = writeService(t, { ...files, ...migrations, '.env': 'DATABASE_URL=sqlite:shop.db' })
  await runAll(await open(t, `sqlite:${join(other, 'shop.db')}`), ['create table city (id int)'])
  t.match(
    await manage(t, ['inspectdb', '--baseline', '--out', join(other, 'src')], { service: other }),
    {
      code: 1,
      stdout: '',
      stderr:
        /^error FILE_EXISTS: .*migrations\/0001_own\.ts; --baseline is for the first migration\n$/,
    },
  )
  t.notOk(existsSync(join(other, 'src/models.ts')), 'nothing is written')
})

t.test('without a database', async (t) => {
  const service = writeService(t, { ...files, '.env': 'NODE_ENV=production' })
  t.match(await manage(t, ['inspectdb'], { service }), {
    code: 1,
    stdout: '',
    stderr: /^error DATABASE_MISSING: /,
  })
})

atEveryPlace(t, 'a table without a model stays, whatever is migrated', files, async (t, place) => {
  const { service, run, url } = place
  const db = await open(t, url)
  await runAll(db, [
    'create table city (id bigint not null primary key, name varchar(20) not null)',
    'create table loose (n int)',
    'insert into loose values (1)',
  ])
  t.match(await run(`inspectdb --table city --out ${service}/src`), { code: 0 })
  t.match(await run('inspectdb --baseline'), { code: 0, stderr: /loose.+has no primary key/ })
  const baseline = readFileSync(join(service, 'migrations/0001_initial.ts'), 'utf8')
  t.match(baseline, /createTable\('city'/)
  t.notMatch(baseline, /createTable\('loose'/)
  writeFileSync(join(service, 'src/service.ts'), USING)
  t.match(await run('makemigrations'), { ...ok, stdout: 'no changes\n' })
  t.match(await run('migrate --fake'), { code: 0 })
  t.match(await run('migrate'), { ...ok, stdout: 'nothing to apply\n' })
  t.strictSame(await db.selectFrom('loose').selectAll().execute(), [{ n: 1 }])
})

const TRIGGER = {
  sqlite:
    'create trigger city_log after insert on city begin insert into loose values (new.id); end',
  mysql:
    'create trigger city_log after insert on city for each row insert into loose values (new.id)',
}
const PARTITIONS = { sqlite: '', mysql: ' partition by hash (id) partitions 3' }

/** What no migration manages, and is there with its rows. */
async function unmanagedIn(db: Awaited<ReturnType<typeof open>>, dialect: 'mysql' | 'sqlite') {
  const { unmanaged } = await readSchema(db)
  const loose = await db.selectFrom('loose').selectAll().orderBy('n').execute()
  const seen = await db.selectFrom('big_city').selectAll().execute()
  return { unmanaged, loose, seen, dialect }
}

atEveryPlace(t, 'what no migration can make stays', files, async (t, place, driver) => {
  const { service, run, url } = place
  const dialect = driver.name
  const db = await open(t, url)
  await runAll(db, [
    'create table city (id bigint not null primary key, name varchar(20) not null)',
    `create table sale (id bigint not null primary key, place varchar(20) not null)${PARTITIONS[dialect]}`,
    'create table loose (n int)',
    'create view big_city as select id, name from city where id > 10',
    TRIGGER[dialect],
    "insert into city values (1, 'Paris'), (11, 'Lyon')",
    "insert into sale values (1, 'Paris')",
  ])
  t.match(await run(`inspectdb --out ${service}/src --baseline`), { code: 0 })
  const baseline = readFileSync(join(service, 'migrations/0001_initial.ts'), 'utf8')
  t.match(baseline, /big_city: 'view'/)
  t.match(baseline, /city_log: 'trigger of city'/)
  t.match(baseline, /loose: 'table without a primary key'/)
  t.equal(baseline.includes("sale: 'partitions'"), dialect === 'mysql')
  t.match(await run('inspectdb --json'), { stdout: /"unmanaged": \{/ })
  writeFileSync(join(service, 'src/service.ts'), USING)
  rmSync(join(service, 'src/loose'), { recursive: true })
  const models = readFileSync(join(service, 'src/models.ts'), 'utf8')
  writeFileSync(
    join(service, 'src/models.ts'),
    models.replace(/^import .*loose.*\n/m, '').replace(/, Loose|Loose, /, ''),
  )
  t.match(await run('migrate --fake'), { code: 0 })
  const before = await unmanagedIn(db, dialect)
  t.strictSame(before.loose, [{ n: 1 }, { n: 11 }])

  for (const table of ['city', 'sale']) {
    const file = join(service, `src/${table}/model.ts`)
    writeFileSync(file, readFileSync(file, 'utf8').replace('maxLength: 20', 'maxLength: 70'))
  }
  t.match(await run('makemigrations'), { code: 0, stdout: /wrote/ })
  t.match(await run('migrate'), { code: 0 })
  t.strictSame(await unmanagedIn(db, dialect), before, 'where tables are made anew')
  t.match(await run('migrate rollback --yes'), { code: 0 })
  t.strictSame(await unmanagedIn(db, dialect), before, 'and back')
  t.match(await run('migrate'), { code: 0 })
  t.match(await run('migrate squash 0001 0002'), { code: 0 })
  const squashed = readFileSync(join(service, 'migrations/0002_squashed_from_0001.ts'), 'utf8')
  t.match(squashed, /loose: 'table without a primary key'/)

  t.match(await run('seed --fresh --yes'), { code: 0 })
  t.strictSame(await unmanagedIn(db, dialect), { ...before, seen: [] }, 'no seed empties it')
  t.strictSame(await db.selectFrom('city').selectAll().execute(), [])

  const own = `import { defineModel, Type } from 'plinth'
export const Loose = defineModel('loose', { columns: { id: Type.Integer() } })
`
  writeFileSync(join(service, 'src/loose.ts'), own)
  const listed = readFileSync(join(service, 'src/models.ts'), 'utf8')
  writeFileSync(
    join(service, 'src/models.ts'),
    `import { Loose } from './loose.ts'\n${listed.replace('[', '[Loose, ')}`,
  )
  t.match(await run('makemigrations'), {
    code: 1,
    stderr:
      /MIGRATION_UNSUPPORTED: No operation changes loose, which is recorded as unmanaged \(table without a primary key\)/,
  })
})
