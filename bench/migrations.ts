import { fork, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import { readMigrations } from '../src/database/migration/loader.ts'
import { writeSnapshot } from '../src/database/migration/writer.ts'
import { attach } from '../test/servers/attach.ts'
import { execute, mysql } from '../test/servers/mysql.ts'
import { findProgram } from '../test/servers/program.ts'
import { progress, SetupError } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import type { Options } from './options.ts'
import { productionEnv } from './server.ts'
import { alternate, compareStarts, type Start, type Timed } from './startup.ts'

const ROOT = join(import.meta.dirname, '..')
const COUNT = 200

/** Migrates the database of a URL. */
type Way = (url: URL) => Promise<Start>

interface Place {
  folder: string
  /** Its URL. */
  server: string
  /** The client of the database. */
  program: string
  pairs: number
}

/**
 * Times migrations, and the same SQL through the client of the database, in turns: what applying them takes (to find, load, lock,
 * journal and run them), and the whole of `manage migrate`, of which the start is the same for one.
 */
export async function measureMigrations(
  sandbox: Sandbox,
  { pairs, altered }: Pick<Options, 'pairs' | 'altered'>,
): Promise<{ migrations: Timed[]; altering: Timed[] }> {
  const { TEST_MYSQL_URL: server = '' } = await attach([mysql], sandbox)
  const program = findProgram(['mariadb', 'mysql'])
  if (!program) throw new SetupError('The client of MariaDB or MySQL is missing')
  const place = { folder: sandbox.folder, server, program, pairs }
  return { migrations: await measureMany(place), altering: await measureAltering(place, altered) }
}

/** Many small ones in an empty database. */
async function measureMany({ folder, server, program, pairs }: Place): Promise<Timed[]> {
  progress('migrations')
  const service = await writeService(join(folder, 'migrations'), createMany())
  const file = writeSql(join(folder, 'migrations.sql'))
  const cache = join(folder, 'compile-cache')
  const applied = await createDatabase(server)
  await runManage(service, applied)
  const ways = {
    'mariadb client': client(program, file),
    'mariadb client again (control)': client(program, file),
    'applying the migrations': (url: URL) => apply(service, url, cache),
    'applying them the first time': (url: URL) => apply(service, url),
    'manage migrate': manage(service),
    'manage migrate, nothing to apply': () => manage(service)(applied),
  }
  return await inTurns(ways, server, pairs)
}

/** One that changes six columns of a table with rows. */
async function measureAltering(place: Place, rows: number): Promise<Timed[]> {
  progress(`six columns of ${rows} rows`)
  const { folder, server, program, pairs } = place
  const service = await writeService(join(folder, 'altering'), ALTERING)
  const cache = join(folder, 'compile-cache')
  const template = await createDatabase(server)
  await runManage(service, template, ['--to', '0001'])
  const [fill, copy, alter] = ['fill', 'copy', 'alter'].map((name) => join(folder, `${name}.sql`))
  writeFileSync(fill as string, fillSql(rows))
  writeFileSync(copy as string, copySql(template.pathname.slice(1)))
  writeFileSync(alter as string, ALTER_SQL)
  await runClient(program, fill as string, template)
  const ways = {
    'mariadb client, one alter table': client(program, alter as string),
    'mariadb client again (control)': client(program, alter as string),
    'applying the migration': (url: URL) => apply(service, url, cache),
    'manage migrate': manage(service),
  }
  return await inTurns(ways, server, pairs, (url) => runClient(program, copy as string, url))
}

/**
 * Each way in a new database, with nothing else to do for the server; once before it counts, so that what has been compiled is kept.
 *
 * @param prepare what is to be there before
 */
async function inTurns(
  ways: Readonly<Record<string, Way>>,
  server: string,
  pairs: number,
  prepare: (url: URL) => Promise<void> = async () => {},
): Promise<Timed[]> {
  const inNew = async (way: Way): Promise<Start> => {
    const url = await createDatabase(server)
    await prepare(url)
    await settle(server)
    const start = await way(url)
    await execute(server, `DROP DATABASE ${url.pathname.slice(1)}`)
    return start
  }
  for (const way of Object.values(ways)) await inNew(way)
  return compareStarts(await alternate(ways, pairs, inNew), Object.keys(ways)[0] as string)
}

/** Lets the server write what it has filled and dropped: it would do so while the next is timed. For at most five seconds. */
async function settle(server: string): Promise<void> {
  const connection = await createConnection(server)
  const limit = 'SET GLOBAL innodb_max_dirty_pages_pct'
  await connection.query(`${limit} = 0`)
  for (let round = 0; round < 100; round++) {
    const [rows] = await connection.query("SHOW STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
    if ((rows as { Value: string }[])[0]?.Value === '0') break
    await sleep(50)
  }
  await connection.query(`${limit} = DEFAULT`)
  connection.destroy()
}

const client =
  (program: string, file: string): Way =>
  (url) =>
    timed(() => runClient(program, file, url))

const manage =
  (service: string): Way =>
  (url) =>
    timed(() => runManage(service, url))

async function timed(work: () => Promise<void>): Promise<Start> {
  const began = performance.now()
  await work()
  return { time: performance.now() - began }
}

async function createDatabase(server: string): Promise<URL> {
  const name = `plinth_bench_${randomBytes(8).toString('hex')}`
  await execute(server, `CREATE DATABASE ${name} CHARACTER SET utf8mb4`)
  return Object.assign(new URL(server), { pathname: `/${name}` })
}

async function runClient(program: string, file: string, url: URL): Promise<void> {
  const { hostname, port, username, password, pathname } = url
  const place = [`--host=${hostname}`, `--port=${port}`, `--user=${username}`, '--protocol=tcp']
  await run(program, [...place, pathname.slice(1)], { MYSQL_PWD: password }, openSync(file, 'r'))
}

/**
 * By the clock of a process that has opened the database.
 *
 * @param cache where it keeps what it has compiled, as `manage` does; default: nowhere
 */
async function apply(service: string, url: URL, cache?: string): Promise<Start> {
  const child = fork('bench/migrate-child.ts', [url.href, join(service, 'migrations')], {
    cwd: ROOT,
    env: { ...productionEnv(), ...(cache && { NODE_COMPILE_CACHE: cache }) },
    execArgv: [],
  })
  const [[time], [code]] = await Promise.all([once(child, 'message'), once(child, 'exit')])
  if (code !== 0) throw new Error(`migrate-child.ts exits with ${code}`)
  return { time }
}

async function runManage(service: string, url: URL, flags: string[] = []): Promise<void> {
  const env = { PLINTH_SERVICE: service, DATABASE_URL: url.href, DATABASE_QUERY_TIMEOUT: '0' }
  await run(process.execPath, ['bin/manage', 'migrate', ...flags], env, 'ignore')
}

async function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input: 'ignore' | number,
): Promise<void> {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...productionEnv(), ...env },
    stdio: [input, 'ignore', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  if (typeof input === 'number') closeSync(input)
  if (code !== 0) throw new Error(`${program} exits with ${code}`)
}

const numbers = () => Array.from({ length: COUNT }, (_, i) => i + 1)

const createSql = (n: number) =>
  `create table \`t${n}\` (\`id\` int not null, \`name\` varchar(120) not null, primary key (\`id\`)) engine=InnoDB default charset=utf8mb4`

function writeSql(file: string): string {
  const statements = numbers().map((n) => `${createSql(n)};\n`)
  writeFileSync(file, statements.join(''))
  return file
}

function createMany(): Record<string, string> {
  const columns = "{ id: { type: 'integer' }, name: { type: 'varchar(120)' } }"
  const named = numbers().map((n) => [
    `${String(n).padStart(4, '0')}_create_t${n}`,
    `m.createTable('t${n}', { columns: ${columns}, primaryKey: ['id'] })`,
  ])
  return Object.fromEntries(named)
}

const NUMBERS = ['a', 'b', 'c', 'd', 'e', 'f']
const ALTERING = {
  '0001_create_thing': `m.createTable('thing', { columns: { id: { type: 'integer', generated: true }, name: { type: 'varchar(120)' }, ${NUMBERS.map((one) => `${one}: { type: 'integer' }`).join(', ')} }, primaryKey: ['id'] })`,
  '0002_change_thing': NUMBERS.map(
    (one) =>
      `m.alterColumn('thing', '${one}', { from: { type: 'integer' }, to: { type: 'bigint' } })`,
  ).join(', '),
}
const ALTER_SQL = `alter table thing ${NUMBERS.map((one) => `modify column ${one} bigint not null`).join(', ')};\n`

/** A thousand rows, doubled until there are enough. */
function fillSql(rows: number): string {
  const values = NUMBERS.map((_, i) => `i * ${i + 1}`).join(', ')
  const columns = `name, ${NUMBERS.join(', ')}`
  const first = Math.min(rows, 1000)
  const statements = [
    `insert into thing (${columns}) with recursive n(i) as (select 1 union all select i + 1 from n where i < ${first}) select concat('the name of thing ', i), ${values} from n`,
  ]
  for (let filled = first; filled < rows; filled *= 2)
    statements.push(
      `insert into thing (${columns}) select ${columns} from thing limit ${Math.min(filled, rows - filled)}`,
    )
  return statements.map((one) => `${one};\n`).join('')
}

/** The same table, and what is recorded of its migrations. */
function copySql(template: string): string {
  const tables = ['thing', 'plinth_migration', 'plinth_migration_lock']
  return tables
    .map(
      (table) =>
        `create table ${table} like ${template}.${table};\ninsert into ${table} select * from ${template}.${table};\n`,
    )
    .join('')
}

/** As `manage makemigrations` leaves it: with the schema that an empty database starts from. */
async function writeService(
  folder: string,
  migrations: Readonly<Record<string, string>>,
): Promise<string> {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  mkdirSync(join(folder, 'migrations'))
  mkdirSync(join(folder, 'src'))
  symlinkSync(ROOT, join(folder, 'node_modules/plinth'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  writeFileSync(
    join(folder, 'src/service.ts'),
    "import { defineService } from 'plinth'\nexport default defineService({ name: 'bench', modules: {} })\n",
  )
  for (const [name, operations] of Object.entries(migrations))
    writeFileSync(
      join(folder, `migrations/${name}.ts`),
      `import * as m from 'plinth/migration'\nexport default m.defineMigration([${operations}])\n`,
    )
  await writeSnapshot(await readMigrations(join(folder, 'migrations')))
  return folder
}
