import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ColumnState } from '../../src/database/schema/state.ts'
import { open } from '../database/fixture.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { startOnTerminal } from '../helpers/terminal.ts'
import { onEveryDatabase } from './database-service.ts'

// No database could be opened with it.
const env = { DATABASE_URL: 'mysql://nobody@127.0.0.1:1/none' }

const ID: ColumnState = { type: 'integer', generated: true }
const SIZE: ColumnState = { type: 'integer' }

type Tables = Record<string, Record<string, ColumnState>>

/** The text of a service that has these tables. */
function serviceOf(tables: Tables): string {
  const models = Object.entries(tables).map(([table, columns]) => ({
    table,
    state: { columns: { id: ID, ...columns }, primaryKey: ['id'] },
    audit: [],
    softDelete: false,
    uuids: [],
  }))
  return `export default { name: 'shop', modules: {}, models: ${JSON.stringify(models)} }`
}

/** A service, its models and `makemigrations` in it. */
function shop(t: Test, tables: Tables) {
  const service = writeService(t, { 'src/service.ts': serviceOf(tables) })
  const directory = join(service, 'migrations')
  return {
    service,
    directory,
    setTables: (next: Tables) => writeFileSync(join(service, 'src/service.ts'), serviceOf(next)),
    make: (...args: string[]) => manage(t, ['makemigrations', ...args], { service, env }),
    files: () => (existsSync(directory) ? readdirSync(directory).sort() : []),
    read: (name: string) => readFileSync(join(directory, name), 'utf8'),
  }
}

t.test('it writes one migration and the snapshot, and needs no database', async (t) => {
  const { make, files, read, setTables } = shop(t, { city: { size: SIZE } })
  t.strictSame(await make(), {
    code: 0,
    signal: null,
    stdout: '+ table city\nwrote migrations/0001_create_city.ts\n',
    stderr: '',
  })
  t.strictSame(files(), ['0001_create_city.ts', 'schema.json'])
  t.match(await make(), { code: 0, stdout: 'no changes\n', stderr: '' })
  for (const flag of ['--check', '--dry-run']) {
    t.strictSame((await make(flag)).stdout, 'no changes\n')
  }

  setTables({ city: { size: SIZE, kind: { type: 'varchar(8)', default: 'town' } } })
  t.match(await make('--name', 'kinds'), {
    code: 0,
    stdout: "+ column city.kind varchar(8) default 'town'\nwrote migrations/0002_kinds.ts\n",
    stderr: '',
  })
  t.equal(
    read('0002_kinds.ts'),
    `import { addColumn, defineMigration } from 'plinth/migration'

export default defineMigration([addColumn('city', 'kind', { type: 'varchar(8)', default: 'town' })])
`,
  )
  t.equal(JSON.parse(read('schema.json')).migration, '0002_kinds')
})

t.test('--check and --dry-run write nothing', async (t) => {
  const { make, files } = shop(t, { city: {} })
  t.match(await make('--check'), {
    code: 1,
    stdout: '+ table city\n',
    stderr: 'the models and the migrations differ; run manage makemigrations\n',
  })
  const dry = await make('--dry-run')
  t.match(dry, { code: 0, stderr: '' })
  t.match(dry.stdout, /^import \{ createTable, defineMigration \} from 'plinth\/migration'\n/)
  const json = await make('--check', '--json')
  t.equal(json.code, 1)
  t.strictSame(JSON.parse(json.stdout), {
    migration: '0001_create_city',
    written: false,
    changes: ['+ table city'],
    findings: [],
    statements: [{ change: '+ table city', mysql: 'INSTANT', mariadb: 'INSTANT' }],
  })
  t.strictSame(files(), [])
})

t.test('what does harm to the release before: a warning', async (t) => {
  const { make, setTables } = shop(t, { city: {} })
  await make()
  setTables({ city: { size: SIZE } })
  const { code, stdout, stderr } = await make('--dry-run', '--json')
  t.equal(code, 0)
  t.match(JSON.parse(stdout).findings, [{ code: 'not-null-without-default', place: 'city.size' }])
  t.match(stderr, '')
  const text = await make()
  t.match(
    text.stderr,
    /^warning not-null-without-default city\.size: Rows may .* later release\.\n$/,
  )
  t.equal(text.code, 0)
})

t.test('a rename: a flag says so, or that there is none', async (t) => {
  const { make, setTables, files, read } = shop(t, { city: { inhabitants: SIZE } })
  await make()
  setTables({ city: { population: SIZE } })
  const unclear = await make()
  t.match(unclear, { code: 1, stdout: '' })
  t.match(
    unclear.stderr,
    /MIGRATION_UNCLEAR: .*\n {2}--rename city\.inhabitants=city\.population\n/,
  )
  t.match(unclear.stderr, /--no-rename/)
  t.match(await make('--check'), {
    code: 1,
    stdout: /^\+ column .*\n- column city\.inhabitants\n$/,
  })
  t.match(await make('--dry-run', '--no-rename'), { code: 0, stdout: /dropColumn\('city'/ })
  t.strictSame(files(), ['0001_create_city.ts', 'schema.json'])
  t.match(await make('--rename', 'city.inhabitants=city.population'), {
    code: 0,
    stdout: /^> column city\.inhabitants to city\.population\nwrote /,
    stderr: /^warning rename-column city\.inhabitants: /,
  })
  t.match(read('0002_rename_city_inhabitants_to_population.ts'), /renameColumn\(/)

  setTables({ town: { people: SIZE } })
  const both = ['--rename', 'city.population=town.people', '--rename', 'city=town']
  t.match(await make(...both), {
    code: 0,
    stdout: /^> table city to town\n> column town\.population to town\.people\nwrote /,
  })
  t.match(await make(), { code: 0, stdout: 'no changes\n' })
})

onEveryDatabase(
  t,
  'what differs in upper and lower case alone is renamed',
  {},
  async (t, { service, run, migrate, url }) => {
    const write = (tables: Tables, indexes: object[]) => {
      const models = Object.entries(tables).map(([table, columns]) => ({
        ...{ table, audit: [], softDelete: false, uuids: [] },
        state: { columns: { id: { type: 'integer' }, ...columns }, primaryKey: ['id'], indexes },
      }))
      const text = `export default { name: 'shop', modules: {}, models: ${JSON.stringify(models)} }`
      writeFileSync(join(service, 'src/service.ts'), text)
    }
    const NAME: ColumnState = { type: 'varchar(20)' }
    write({ city: { name: NAME, size: SIZE } }, [{ name: 'by_name', columns: ['name'] }])
    t.match(await run('makemigrations'), { code: 0 })
    await migrate()
    // A connection that has read the table goes on with the names that it knows.
    const rows = async () => (await open(t, url)).selectFrom('city').selectAll().execute()
    const db = await open(t, url)
    await db.insertInto('city').values({ id: 1, name: 'Ys', size: 2 }).execute()
    write({ city: { Name: { type: 'varchar(30)' }, SIZE } }, [
      { name: 'By_Name', columns: ['Name'] },
    ])
    const made = await run('makemigrations')
    t.match(made, { code: 0, stdout: '> column city.name to city.Name' })
    t.match(made.stdout, '> column city.size to city.SIZE')
    t.match(await run('makemigrations', '--check'), { code: 0 })
    await migrate()
    t.strictSame(await rows(), [{ id: 1, Name: 'Ys', SIZE: 2 }])
    t.match(await run('migrate', 'rollback', '--yes'), { code: 0 })
    t.strictSame(await rows(), [{ id: 1, name: 'Ys', size: 2 }])
  },
)

t.test('wrong usage: exit code 2, and nothing is written', async (t) => {
  const { make, files } = shop(t, { city: { size: SIZE } })
  for (const args of [
    ['--rename', 'city'],
    ['--rename', 'town=city'],
    ['--rename', 'a=b=c'],
    ['--name', 'Add-Kind'],
    ['--check', '--empty'],
    ['--unknown'],
  ]) {
    const { code, stdout, stderr } = await make(...args)
    t.strictSame({ code, stdout }, { code: 2, stdout: '' }, args.join(' '))
    t.not(stderr, '')
  }
  t.strictSame(files(), [])
})

t.test('on a terminal it asks', async (t) => {
  const { make, setTables, service, files, read } = shop(t, { city: { a: SIZE, b: SIZE } })
  await make()
  setTables({ city: { c: SIZE } })
  const terminal = startOnTerminal(t, ['makemigrations'], { service, env })
  await terminal.until('stdout', /Was city\.a renamed to city\.c\? \[y\/N\] /)
  terminal.type('\r')
  await terminal.until('stdout', /Was city\.b renamed to city\.c\? \[y\/N\] /)
  terminal.type('y\r')
  t.match(await terminal.ended, { code: 0 })
  t.match(read('0002_change_city.ts'), /renameColumn\('city', 'b', 'c'\)/)

  setTables({ city: { d: SIZE } })
  const before = files()
  for (const keys of ['\u0003', '\u0004']) {
    const stopped = startOnTerminal(t, ['makemigrations'], { service, env })
    await stopped.until('stdout', /Was city\.c renamed to city\.d\? \[y\/N\] /)
    stopped.type(keys)
    t.match(await stopped.ended, { code: 1, stdout: /MIGRATION_UNCLEAR/ })
  }
  t.strictSame(files(), before)
})

t.test('what rows get that are there: a flag says so', async (t) => {
  const { make, read, setTables } = shop(t, { city: {} })
  await make()
  setTables({ city: { size: SIZE, kind: { type: 'varchar(8)', default: 'town' } } })
  for (const [value, problem] of [
    ['city.size=large', '--fill city.size=large: it is no whole number'],
    ['city.kind=town', '--fill city.kind=town is not as table.column=value, of: city.size'],
    ['size', '--fill size is not as table.column=value, of: city.size'],
  ])
    t.match(await make('--fill', value as string), { code: 2, stderr: `${problem}` })
  t.match(await make('--fill', 'city.size=3'), { code: 0 })
  t.match(
    read('0002_change_city.ts'),
    "addColumn('city', 'size', { type: 'integer' }, { fill: 3 })",
  )
  setTables({ city: { size: SIZE, kind: { type: 'varchar(8)' }, name: { type: 'text' } } })
  t.match(await make(), { code: 0, stderr: /not-null-without-default city\.name: .*\(--fill\)/ })
  t.notMatch(read('0003_change_city.ts'), 'fill')
})

t.test('what rows get that are there: it asks on a terminal', async (t) => {
  const { service, make, files, read, setTables } = shop(t, { city: {} })
  await make()
  setTables({ city: { size: SIZE, rank: SIZE } })
  const terminal = startOnTerminal(t, ['makemigrations'], { service, env })
  await terminal.until('stdout', /What do rows get for city\.size \(integer\) that are there\?/)
  terminal.type('many\r')
  await terminal.until('stdout', /it is no whole number/)
  terminal.type('3\r')
  await terminal.until('stdout', /What do rows get for city\.rank/)
  terminal.type('\r')
  t.match(await terminal.ended, { code: 0 })
  const text = read('0002_change_city.ts')
  t.match(text, "addColumn('city', 'size', { type: 'integer' }, { fill: 3 })")
  t.match(text, "addColumn('city', 'rank', { type: 'integer' })")

  setTables({ city: { size: SIZE, rank: SIZE, depth: SIZE } })
  for (const keys of ['\u0003', '\u0004']) {
    const stopped = startOnTerminal(t, ['makemigrations'], { service, env })
    await stopped.until('stdout', /What do rows get for city\.depth/)
    stopped.type(keys)
    t.match(await stopped.ended, { code: 1, stdout: /broken off: nothing was written/ })
  }
  t.strictSame(files(), ['0001_create_city.ts', '0002_change_city.ts', 'schema.json'])
})

t.test('--empty, to be filled in by hand, and --rebuild after it', async (t) => {
  const { make, files, read, directory, setTables } = shop(t, { city: {} })
  await make()
  t.match(await make('--empty'), { code: 0, stdout: 'wrote migrations/0002_by_hand.ts\n' })
  t.match(await make(), { code: 0, stdout: 'no changes\n' }, 'it is a migration as it is')
  const step = `import { addColumn, defineMigration, runSql } from 'plinth/migration'
export default defineMigration([
  runSql({ up: 'x', state: [addColumn('city', 'size', { type: 'integer' })] }),
])`
  writeFileSync(join(directory, '0002_by_hand.ts'), step)
  setTables({ city: { size: SIZE } })
  for (const args of [[], ['--check'], ['--dry-run'], ['--empty']]) {
    t.match(await make(...args), { code: 1, stdout: '', stderr: /SCHEMA_STALE: .*--rebuild/ })
  }
  t.match(await make('--rebuild'), { code: 0, stdout: 'wrote migrations/schema.json\n' })
  t.match(await make('--check'), { code: 0, stdout: 'no changes\n' })
  t.match(JSON.parse(read('schema.json')), { migration: '0002_by_hand', tables: { city: {} } })
  t.strictSame(files(), ['0001_create_city.ts', '0002_by_hand.ts', 'schema.json'])
})

t.test('what is wrong with models or migrations', async (t) => {
  const { make, service, directory, setTables } = shop(t, { city: {} })
  writeFileSync(join(service, 'src/service.ts'), "export default { name: 'shop', modules: {} }")
  t.match(await make(), { code: 1, stderr: /MODELS_MISSING: .*src\/service\.ts names no models/ })
  t.match(await make('--check', '--json'), { code: 1, stdout: /"code": "MODELS_MISSING"/ })
  setTables({ city: {} })
  await make()
  const text = readFileSync(join(directory, '0001_create_city.ts'), 'utf8')
  writeFileSync(join(directory, '0001_same_number.ts'), text)
  t.match(await make(), { code: 1, stderr: /MIGRATION_INVALID: .*same number/ })
  rmSync(join(directory, '0001_same_number.ts'))
  writeFileSync(
    join(service, 'src/service.ts'),
    serviceOf({ city: {} }).replace('["id"]', '["id","id2"]'),
  )
  t.match(await make(), { code: 1, stderr: /MIGRATION_UNSUPPORTED: .*primary key of city/ })
})

t.test('manage check warns of them, and --strict makes that fail', async (t) => {
  const { make, service, directory, setTables } = shop(t, { city: {} })
  await make()
  setTables({ city: { size: SIZE } })
  await make()
  const check = (...args: string[]) =>
    manage(t, ['check', ...args], { service, env: { NODE_ENV: 'production' } })
  const warning = /^warning lint: 0002_add_city_size: not-null-without-default city\.size: /m
  t.match(await check(), { code: 0, stdout: warning })
  t.match(await check('--strict'), { code: 1, stdout: warning })
  const json = await check('--strict', '--json')
  t.equal(json.code, 1)
  t.match(JSON.parse(json.stdout).at(-1), { check: 'lint', level: 'warning' })

  const file = join(directory, '0002_add_city_size.ts')
  const accepted = readFileSync(file, 'utf8').replace(
    /\]\)\s*$/,
    "], { accept: ['not-null-without-default'] })\n",
  )
  writeFileSync(file, accepted)
  t.match(await check('--strict'), { code: 0 })
  t.match(await make('--check'), { code: 0 }, 'and the migrations are what they were')

  writeFileSync(file, 'export default 1')
  t.match(await check(), { code: 1, stdout: /^error {3}migrations: MIGRATION_INVALID: /m })
})

t.test('manage check looks at what is not applied yet', async (t) => {
  const { make, service, setTables } = shop(t, { city: {} })
  await make()
  setTables({ city: { size: SIZE } })
  await make()
  const run = (command: string) =>
    manage(t, [command], { service, env: { DATABASE_URL: 'sqlite:./shop.db' } })
  t.match(await run('check'), { code: 1, stdout: /^warning lint: 0002_add_city_size: /m })
  t.match(await run('migrate'), { code: 0 })
  const { code, stdout } = await run('check')
  t.equal(code, 0)
  t.notMatch(stdout, 'warning')
})

t.test('it drops no table unless it is told to', async (t) => {
  const { make, files, setTables, read } = shop(t, { city: { size: SIZE }, log: {} })
  await make()
  const before = files()
  setTables({ city: {} })
  t.match(await make(), {
    code: 1,
    stdout: '',
    stderr: /^error MIGRATION_DROPS: No model describes what the migrations have made: log\. /,
  })
  t.strictSame(files(), before)
  t.match(await make('--check'), { code: 1, stdout: '- table log\n- column city.size\n' })
  t.match(await make('--dry-run'), { code: 0, stdout: /dropTable\('log'/ })
  t.match(await make('--allow-drop', '--name', 'tidy'), {
    code: 0,
    stdout: /wrote .+0002_tidy\.ts/,
  })
  t.match(read('0002_tidy.ts'), /dropTable\('log'/)
})

t.test('the audit log is a table of the service', async (t) => {
  const source = (models: string) => `
    import { AuditLog, defineModel, defineService, Type } from 'plinth'
    const Member = defineModel('member', { columns: { id: Type.Integer() }, generated: ['id'], audit: 'log' })
    export default defineService({ name: 'shop', modules: {}, models: [${models}] })`
  const service = writeService(t, { 'src/service.ts': source('Member') })
  const run = (...args: string[]) =>
    manage(t, args, { service, env: { DATABASE_URL: 'sqlite:./shop.db' } })
  t.match(await run('makemigrations'), {
    code: 1,
    stderr: /MODEL_INVALID: .*member.*; add AuditLog to the models/,
  })
  writeFileSync(join(service, 'src/service.ts'), source('Member, AuditLog'))
  t.match(await run('makemigrations'), {
    code: 0,
    stdout: /^\+ table audit_log\n\+ table member\nwrote /,
  })
  t.match(await run('migrate'), { code: 0 })
  t.match(await run('makemigrations', '--check'), { code: 0 })
})
