import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

const MYSQL = 'mysql://joe:p%40ss%20word@db.test:3307/shop'

// Tells what it was started with and what it read, and ends with 7.
const CLIENT = `#!${process.execPath}
import { readFileSync } from 'node:fs'
const { argv, env } = process
console.log(JSON.stringify({
  name: argv[1].split('/').at(-1),
  args: argv.slice(2),
  password: env.MYSQL_PWD ?? null,
  input: readFileSync(0, 'utf8'),
}))
console.error('a complaint')
process.exitCode = 7
`

/** Runs dbshell where PATH has these programs and no others. */
function dbshell(t: Test, programs: readonly string[], files: Record<string, string> = {}) {
  const service = writeService(t, files)
  const bin = join(service, 'bin')
  mkdirSync(bin)
  for (const name of programs) writeFileSync(join(bin, name), CLIENT, { mode: 0o755 })
  // What is no program must not be taken for one.
  mkdirSync(join(service, 'folders/mysql'), { recursive: true })
  writeFileSync(join(service, 'folders/mariadb'), 'a text')
  const PATH = `${join(service, 'folders')}:${bin}`
  const run = (args: string[], DATABASE_URL?: string, input?: string) => {
    const env = { PATH, DATABASE_URL }
    return manage(t, ['dbshell', ...args], { service, env, ...(input !== undefined && { input }) })
  }
  return { service, run }
}

t.test("SQLite: sqlite3 on the service's file; streams and exit code are passed on", async (t) => {
  const { service, run } = dbshell(t, ['sqlite3', 'mysql'], { '.env': 'DATABASE_URL=sqlite:my.db' })
  const { code, stdout, stderr } = await run([], undefined, '.tables\n')
  t.same({ code, stderr }, { code: 7, stderr: 'a complaint\n' })
  t.strictSame(JSON.parse(stdout), {
    name: 'sqlite3',
    args: [join(service, 'my.db')],
    password: null,
    input: '.tables\n',
  })
})

t.test('MySQL: the password is in the environment and not among the arguments', async (t) => {
  const { run } = dbshell(t, ['mysql'])
  const { code, stdout } = await run([], MYSQL)
  t.equal(code, 7)
  t.strictSame(JSON.parse(stdout), {
    name: 'mysql',
    args: ['--host=db.test', '--port=3307', '--user=joe', '--protocol=tcp', 'shop'],
    password: 'p@ss word',
    input: '',
  })
  const without = await run([], 'mysql://joe@db.test/shop')
  t.match(JSON.parse(without.stdout), { password: null })
})

t.test("MariaDB's client is preferred where both are there", async (t) => {
  const { run } = dbshell(t, ['mysql', 'mariadb'])
  t.match(JSON.parse((await run([], MYSQL)).stdout), { name: 'mariadb' })
})

t.test('what follows -- goes to the program as it is', async (t) => {
  const { run } = dbshell(t, ['sqlite3'])
  const rest = ['--', '-e', 'select 1', '-e', '--', 'select 1', '--help', '-']
  const { stdout } = await run(rest, 'sqlite:/tmp/x.db')
  t.strictSame(JSON.parse(stdout).args, ['/tmp/x.db', ...rest.slice(1)])
  t.match(await run(['--fast'], 'sqlite:/tmp/x.db'), { code: 2, stdout: '', stderr: /--fast/ })
})

t.test('without a client: CLIENT_MISSING', async (t) => {
  const { run } = dbshell(t, [])
  const missing = (programs: string) => ({
    code: 1,
    signal: null,
    stdout: '',
    stderr: `error CLIENT_MISSING: The program ${programs} is not on this machine (PATH); install it, then run this again\n`,
  })
  t.strictSame(await run([], 'sqlite:/tmp/x.db'), missing('sqlite3'))
  t.strictSame(await run([], MYSQL), missing('mariadb or mysql'))
})

t.test('without a database, or with a URL that is none', async (t) => {
  const { run } = dbshell(t, ['sqlite3'], { '.env': 'NODE_ENV=production' })
  t.match(await run([]), { code: 1, stdout: '', stderr: /^error DATABASE_MISSING: / })
  const { code, stderr } = await run([], 'mysql://joe:hunter2@/')
  t.equal(code, 1)
  t.match(stderr, /^error DATABASE_URL_INVALID: /)
  t.notMatch(stderr, 'hunter2')
})
