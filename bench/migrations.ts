import { fork, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMigrations } from '../src/database/migration/snapshot.ts'
import { writeSnapshot } from '../src/database/migration/writer.ts'
import { attach } from '../test/servers/attach.ts'
import { execute, mysql } from '../test/servers/mysql.ts'
import { findProgram } from '../test/servers/program.ts'
import { progress, SetupError } from '../test/servers/ready.ts'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { productionEnv } from './server.ts'
import { alternate, compareStarts, type Start, type Timed } from './startup.ts'

const ROOT = join(import.meta.dirname, '..')
const COUNT = 200

/** Migrates the database of a URL. */
type Way = (url: URL) => Promise<Start>

/**
 * Times many small migrations, and the same SQL through the client of the database, in turns: what applying them takes
 * (to find, load, lock, journal and run them), and the whole of `manage migrate`, of which the start is the same for one.
 */
export async function measureMigrations(sandbox: Sandbox, pairs: number): Promise<Timed[]> {
  progress('migrations')
  const { TEST_MYSQL_URL: server = '' } = await attach([mysql], sandbox)
  const program = findProgram(['mariadb', 'mysql'])
  if (!program) throw new SetupError('The client of MariaDB or MySQL is missing')
  const service = await writeService(join(sandbox.folder, 'migrations'))
  const file = writeSql(join(sandbox.folder, 'migrations.sql'))
  // With the schema.json that makemigrations writes: what an empty database starts from.
  await run(
    process.execPath,
    ['bin/manage', 'makemigrations', '--rebuild'],
    { PLINTH_SERVICE: service },
    'ignore',
  )
  const client: Way = (url) => timed(() => runClient(program, file, url))
  const manage: Way = (url) => timed(() => runManage(service, url))
  const cache = join(sandbox.folder, 'compile-cache')
  const applied = await createDatabase(server)
  await manage(applied)

  const inNew = (way: Way) => async (): Promise<Start> => {
    const url = await createDatabase(server)
    const start = await way(url)
    await execute(server, `DROP DATABASE ${url.pathname.slice(1)}`)
    return start
  }
  const ways = {
    'mariadb client': inNew(client),
    'mariadb client again (control)': inNew(client),
    'applying the migrations': inNew((url) => apply(service, url, cache)),
    'applying them the first time': inNew((url) => apply(service, url)),
    'manage migrate': inNew(manage),
    'manage migrate, nothing to apply': () => manage(applied),
  }
  // What has been compiled is kept from here on.
  await ways['applying the migrations']()
  return compareStarts(await alternate(ways, pairs, (way) => way()), 'mariadb client')
}

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

async function runManage(service: string, url: URL): Promise<void> {
  const env = { PLINTH_SERVICE: service, DATABASE_URL: url.href }
  await run(process.execPath, ['bin/manage', 'migrate'], env, 'ignore')
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

/** As `manage makemigrations` leaves it: with the schema that an empty database starts from. */
async function writeService(folder: string): Promise<string> {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  mkdirSync(join(folder, 'migrations'))
  mkdirSync(join(folder, 'src'))
  symlinkSync(ROOT, join(folder, 'node_modules/plinth'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  writeFileSync(
    join(folder, 'src/service.ts'),
    "import { defineService } from 'plinth'\nexport default defineService({ name: 'bench', modules: {} })\n",
  )
  for (const n of numbers()) {
    const columns = "{ id: { type: 'integer' }, name: { type: 'varchar(120)' } }"
    writeFileSync(
      join(folder, `migrations/${String(n).padStart(4, '0')}_create_t${n}.ts`),
      `import { createTable, defineMigration } from 'plinth/migration'\nexport default defineMigration([createTable('t${n}', { columns: ${columns}, primaryKey: ['id'] })])\n`,
    )
  }
  await writeSnapshot(await readMigrations(join(folder, 'migrations')))
  return folder
}
