import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { assertSnapshot, readMigrations } from '../../../src/database/migration/loader.ts'
import {
  draftMigration,
  writeMigration,
  writeSnapshot,
} from '../../../src/database/migration/writer.ts'
import type { SchemaState } from '../../../src/database/schema/state.ts'

const table = (...names: string[]): SchemaState[string] => ({
  columns: Object.fromEntries(['id', ...names].map((name) => [name, { type: 'integer' }])),
  primaryKey: ['id'],
})
const CITY: SchemaState = { city: table() }
const MORE: SchemaState = { city: table('size') }

/** Writes what leads to `schema`, and returns the folder's files. */
async function make(directory: string, schema: SchemaState): Promise<string[]> {
  const recorded = await readMigrations(directory)
  await assertSnapshot(recorded)
  const draft = draftMigration(recorded, schema, {})
  if (draft) await writeMigration(recorded, draft)
  return readdirSync(directory).sort()
}

const folder = (t: Test) => join(t.testdir(), 'migrations')
const assertFolder = async (directory: string) => assertSnapshot(await readMigrations(directory))

t.test('migrations and the snapshot grow together', async (t) => {
  const directory = folder(t)
  t.strictSame(await make(directory, CITY), ['0001_create_city.ts', 'schema.json'])
  t.strictSame(await make(directory, MORE), [
    '0001_create_city.ts',
    '0002_add_city_size.ts',
    'schema.json',
  ])
  t.match(JSON.parse(readFileSync(join(directory, 'schema.json'), 'utf8')), {
    migration: '0002_add_city_size',
    start: { to: '0002_add_city_size', checksum: /^[0-9a-f]{64}$/ },
    tables: MORE,
  })
  const text = readFileSync(join(directory, 'schema.json'), 'utf8')
  t.strictSame((await make(directory, MORE)).length, 3, 'nothing to do')
  t.equal(readFileSync(join(directory, 'schema.json'), 'utf8'), text)
  t.strictSame((await readMigrations(directory)).schema, MORE)
})

t.test('a service without migrations has no snapshot', async (t) => {
  await assertFolder(folder(t))
})

t.test('the snapshot records names as they are in the database', async (t) => {
  const directory = folder(t)
  const of = (name: string): SchemaState => ({
    [name]: { ...table('size'), indexes: [{ name: `${name}_size_idx`, columns: ['size'] }] },
  })
  await make(directory, of('city'))
  const recorded = await readMigrations(directory)
  const draft = draftMigration(recorded, of('town'), { tables: { city: 'town' } })
  t.strictSame(draft?.schema.town?.indexes, [{ name: 'city_size_idx', columns: ['size'] }])
})

t.test('a snapshot that is not of these migrations', async (t) => {
  const directory = folder(t)
  await make(directory, CITY)
  const old = readFileSync(join(directory, 'schema.json'), 'utf8')
  await make(directory, MORE)
  const path = join(directory, 'schema.json')
  const stale = async (problem: RegExp) => {
    await t.rejects(assertFolder(directory), { code: 'SCHEMA_STALE', message: problem })
    await t.rejects(assertFolder(directory), { message: /run manage makemigrations --rebuild$/ })
  }

  writeFileSync(path, old)
  await stale(/written for 0001_create_city, and the newest migration is 0002_add_city_size/)
  writeFileSync(path, JSON.stringify({ migration: '0002_add_city_size', tables: CITY }))
  await stale(/the table city is another one there/)
  writeFileSync(path, JSON.stringify({ migration: '0002_add_city_size', tables: {} }))
  await stale(/the table city is another one there/)
  for (const text of ['<<<<<<< HEAD\n{}', '{}', 'null', '']) {
    writeFileSync(path, text)
    await stale(/schema\.json is not the schema that the migrations lead to: /)
  }
  rmSync(path)
  await stale(/it is missing, and the newest migration is 0002_add_city_size/)

  await writeSnapshot(await readMigrations(directory))
  await assertFolder(directory)
  t.strictSame(JSON.parse(readFileSync(path, 'utf8')).tables, MORE, 'rebuilt')
})

t.test('migrations that do not fit one another are named', async (t) => {
  const directory = folder(t)
  await make(directory, CITY)
  const text = readFileSync(join(directory, '0001_create_city.ts'), 'utf8')
  writeFileSync(join(directory, '0002_again.ts'), text)
  await t.rejects(readMigrations(directory), {
    code: 'MIGRATION_INVALID',
    message: /0002_again\.ts cannot be used: there is a table city already/,
  })
})

t.test('when one file cannot be written, neither is, and nothing is left of it', async (t) => {
  const directory = folder(t)
  await make(directory, CITY)
  const before = readdirSync(directory).sort()
  const recorded = await readMigrations(directory)
  const draft = draftMigration(recorded, MORE, {})
  mkdirSync(join(directory, `schema.json.${process.pid}.tmp`))
  await t.rejects(writeMigration(recorded, draft as NonNullable<typeof draft>), { code: 'EISDIR' })
  rmSync(join(directory, `schema.json.${process.pid}.tmp`), { recursive: true })
  t.strictSame(readdirSync(directory).sort(), before)
  await assertFolder(directory)
})
