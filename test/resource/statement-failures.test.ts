import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { isForeignKeyViolation } from '../../src/database/violations.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { type AnyDatabase, onEveryDatabase } from '../database/fixture.ts'
import { type LogLine, serveThings } from '../helpers/app.ts'

const TABLES = [
  'create table owner (id int primary key)',
  'create table other (id int primary key)',
  `create table pet (
    id int primary key, size smallint check (size < 1000), born date, code varchar(3),
    owner int, other int,
    foreign key (owner) references owner (id) on delete restrict,
    foreign key (other) references other (id) on delete no action)`,
  'insert into owner values (1)',
  'insert into other values (1)',
  'insert into pet values (1, 1, null, null, 1, 1)',
]

/** What a client gets whose request becomes `statement`, as a service has written it. */
async function answer(t: Test, db: AnyDatabase, statement: string) {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => logs.push(JSON.parse(line)) }
  const run = defineResource({
    summary: 'Runs it',
    method: 'POST',
    path: '/',
    response: Type.Null(),
    perform: async () => {
      await sql.raw(statement).execute(db)
      return null
    },
  })
  const app = await serveThings(t, { run }, { server: { logger: { level: 'info', stream } } })
  const response = await app.inject({ method: 'POST', url: '/things' })
  const { code, message, errors } = response.json()
  return { status: response.statusCode, code, message, errors, logs }
}

const conflict = { status: 409, code: 'CONFLICT', errors: null }
const referred = {
  ...conflict,
  message: 'It is still referred to; change or delete what refers to it first',
}
const missing = {
  status: 400,
  code: 'INVALID_REQUEST',
  errors: [{ path: '', message: 'refers to what is not there' }],
}
const cases = {
  'insert into owner values (1)': {
    ...conflict,
    message: 'There is one with the same key already',
  },
  'insert into pet (id, owner) values (2, 9)': missing,
  'update pet set owner = 9': missing,
  'delete from owner': referred,
}

const value = (message: string) => ({
  status: 400,
  code: 'INVALID_REQUEST',
  errors: [{ path: '', message }],
})
const ofMysql = {
  'delete from other': referred,
  'update other set id = 2': referred,
  'insert into pet (id, size) values (3, 70000)': value(
    'the value for size is out of the range of the column',
  ),
  "insert into pet (id, size) values (3, 'x')": value(
    'the value for size is no value that the column takes',
  ),
  "insert into pet (id, born) values (3, '2026-02-30')": value(
    'the value for born is no value that the column takes',
  ),
  "insert into pet (id, code) values (3, 'abcd')": value(
    'the value for code is too long for the column',
  ),
  "select id from pet where convert(code using ascii) collate ascii_bin = 'é'": value(
    'a value has characters that the column does not have',
  ),
  "select id from pet where convert(code using ascii) collate ascii_bin in ('x', 'é')": value(
    'a value has characters that the column does not have',
  ),
}

onEveryDatabase(t, 'a client is told what the database refuses', async (t, { db, driver }) => {
  for (const statement of TABLES) await sql.raw(statement).execute(db)
  const all = { ...cases, ...(driver.name === 'mysql' && ofMysql) }
  for (const [statement, expected] of Object.entries(all)) {
    const { logs, ...told } = await answer(t, db, statement)
    t.match(told, expected, statement)
    t.ok(
      logs.some(({ level, err }) => level === 40 && (err as Error).message),
      'the log has what the database said',
    )
  }
  t.match(await answer(t, db, 'insert into pet (id, size) values (3, 1000)'), {
    status: 400,
    errors: [{ path: '', message: /no value that the column takes$/ }],
  })
  for (const statement of ['select nope from pet', 'insert into nope values (1)']) {
    t.match(await answer(t, db, statement), { status: 500, code: 'INTERNAL' })
  }
})

onEveryDatabase(t, 'a broken reference is recognised, and nothing else', async (t, { db }) => {
  for (const statement of TABLES) await sql.raw(statement).execute(db)
  const failing = async (statement: string) => {
    try {
      await sql.raw(statement).execute(db)
    } catch (error) {
      return isForeignKeyViolation(error)
    }
    throw new Error(`${statement} has not failed`)
  }
  t.equal(await failing('insert into pet (id, owner) values (2, 9)'), true)
  t.equal(await failing('delete from owner'), true)
  t.equal(await failing('delete from other'), true)
  t.equal(await failing('insert into owner values (1)'), false)
  t.equal(await failing('select nope from pet'), false)
  t.equal(isForeignKeyViolation('no error'), false)
})
