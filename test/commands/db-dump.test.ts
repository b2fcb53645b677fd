import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { loadSqlite } from '../../src/database/dialect/sqlite/open.ts'
import { open } from '../database/fixture.ts'
import type { DatabaseDriver } from '../helpers/drivers.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { atEveryPlace } from './database-place.ts'
import { SERVICE } from './database-service.ts'

const ok = { code: 0, stderr: '' }
const files = { 'src/service.ts': SERVICE }

const ODD = `it's "odd" \\ and \n new; -- line`

atEveryPlace(
  t,
  'dumps what makes the database anew',
  files,
  async (t, { run, service, url }, driver) => {
    await run('db create')
    const text = await fill(t, url)
    t.match(await run('db dump --schema-only'), { ...ok, stdout: /create table [\s\S]*parent/i })
    t.notMatch((await run('db dump --schema-only')).stdout, /odd/)
    const file = join(service, 'backup.sql')
    t.match(await run(`db dump --out ${file}`), { code: 0, stdout: '', stderr: `wrote ${file}\n` })
    const dumped = readFileSync(file, 'utf8')
    const printed = await run('db dump')
    t.equal(withoutDate(printed.stdout), withoutDate(dumped))
    await run('db drop --force')
    await run('db create')
    await load(url, dumped, driver)
    t.strictSame(await textOf(t, url), text)
    const left = readdirSync(service).filter((name) => name.endsWith('.part'))
    t.strictSame(left, [])
  },
)

t.test(
  'a dump of SQLite keeps values, computed columns, numbers and what hangs on tables',
  async (t) => {
    const service = writeService(t, { ...files, '.env': 'DATABASE_URL=sqlite:shop.db' })
    const { DatabaseSync } = loadSqlite()
    const before = new DatabaseSync(join(service, 'shop.db'))
    before.exec(`
    create table "a ""b" (id integer primary key autoincrement, v, twice generated always as (v * 2) stored);
    create index "an index" on "a ""b" (v);
    create view w as select v from "a ""b";
    create trigger g after insert on "a ""b" begin select 1; end;
    create virtual table found using fts5(words);
    insert into "a ""b" (v) values (null), (1), (1.0), (0.1), (9223372036854775807), (1e300), (x'00ff'), ('é'), ('a' || char(0) || 'b'), ('');
    delete from "a ""b" where v = '';`)
    const { code, stdout } = await manage(t, ['db', 'dump'], { service })
    t.equal(code, 0)
    t.match(stdout, '-- left out: the virtual table found\n')
    const after = new DatabaseSync(':memory:')
    after.exec(stdout)
    for (const query of [
      'select id, typeof(v), hex(v), quote(v), twice from "a ""b" order by id',
      'select * from sqlite_sequence',
      `select type, name, sql from sqlite_schema where name not like 'found%' order by name`,
    ]) {
      t.strictSame(after.prepare(query).all(), before.prepare(query).all(), query)
    }
  },
)

/** A service on MySQL where PATH has one program that dumps: it tells how it was started and fails. */
function withDumper(t: Test) {
  const DATABASE_URL = 'mysql://joe:p%40ss@db.test:3307/shop'
  const service = writeService(t, { ...files, '.env': `DATABASE_URL=${DATABASE_URL}` })
  const bin = join(service, 'bin')
  mkdirSync(bin)
  const dumper = join(bin, 'mysqldump')
  writeFileSync(
    dumper,
    `#!${process.execPath}\nconsole.log(JSON.stringify([process.argv.slice(2), process.env.MYSQL_PWD]))\nconsole.error('no such host')\nprocess.exitCode = 3`,
  )
  chmodSync(dumper, 0o755)
  return { service, env: { PATH: bin } }
}

t.test('a dump that fails leaves no file, and the password is no argument', async (t) => {
  const options = withDumper(t)
  const failed = await manage(t, ['db', 'dump'], options)
  t.match(failed, {
    code: 1,
    stderr: /^no such host\nerror DUMP_FAILED: .*mysqldump ended with exit code 3/,
  })
  const [args, password] = JSON.parse(failed.stdout)
  t.equal(password, 'p@ss')
  t.match(args, ['--host=db.test', '--port=3307', '--user=joe', '--protocol=tcp'])
  t.equal(args.at(-1), 'shop')
  t.notMatch(args.join(' '), 'p@ss')
  const out = join(options.service, 'backup.sql')
  t.match(await manage(t, ['db', 'dump', '--out', out], options), { code: 1, stdout: '' })
  t.strictSame(
    readdirSync(options.service).filter((name) => name.startsWith('backup')),
    [],
  )
})

t.test('a dump says what is missing', async (t) => {
  const { service } = withDumper(t)
  const run = (args: string[], env: Record<string, string>) =>
    manage(t, ['db', 'dump', ...args], { service, env })
  t.match(await run([], { PATH: service }), {
    code: 1,
    stderr: /^error CLIENT_MISSING: The program mariadb-dump or mysqldump /,
  })
  t.match(await run([], { DATABASE_URL: 'sqlite:none.db' }), {
    code: 1,
    stderr: /^error DATABASE_UNAVAILABLE: .*there is no \S+none\.db\n$/,
  })
  const sqlite = { DATABASE_URL: 'sqlite:shop.db' }
  await manage(t, ['db', 'create'], { service, env: sqlite })
  t.match(await run(['--out', join(service, 'no/such/folder.sql')], sqlite), {
    code: 1,
    stderr: /^error FILE_UNWRITABLE: \S+folder\.sql cannot be written: ENOENT[^\n]*\n$/,
  })
})

async function fill(t: Test, url: string): Promise<unknown> {
  const db = await open(t, url)
  await db.schema
    .createTable('parent')
    .addColumn('id', 'integer', (id) => id.primaryKey())
    .execute()
  await db.schema
    .createTable('child')
    .addColumn('id', 'integer', (id) => id.primaryKey())
    .addColumn('parent_id', 'integer')
    .addColumn('name', 'varchar(200)')
    .addColumn('data', 'blob')
    .addForeignKeyConstraint('child_parent', ['parent_id'], 'parent', ['id'])
    .execute()
  await db.insertInto('parent').values({ id: 1 }).execute()
  const data = Buffer.from([0, 1, 39, 92, 255])
  await db.insertInto('child').values({ id: 1, parent_id: 1, name: ODD, data }).execute()
  return await textOf(t, url)
}

async function textOf(t: Test, url: string): Promise<unknown> {
  const db = await open(t, url)
  return await db.selectFrom('child').selectAll().execute()
}

function withoutDate(sql: string): string {
  return sql.replace(/^-- Dump completed.*$/m, '')
}

async function load(url: string, sql: string, driver: DatabaseDriver): Promise<void> {
  if (driver.name === 'sqlite') {
    const { DatabaseSync } = loadSqlite()
    const database = new DatabaseSync(url.slice('sqlite:'.length))
    database.exec(sql)
    return database.close()
  }
  const connection = await createConnection({ uri: url, multipleStatements: true })
  await connection.query(sql)
  await connection.end()
}
