import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import t from 'tap'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'

const [sqlite, mysql] = databaseDrivers
if (sqlite?.name !== 'sqlite' || mysql?.name !== 'mysql')
  throw new Error('two drivers are expected')

/** What `sql` finds on the server, as rows of values. */
async function query(uri: string, sql: string, values: string[] = []): Promise<unknown[]> {
  const connection = await createConnection({ uri, rowsAsArray: true })
  const [rows] = await connection.query<RowDataPacket[]>(sql, values)
  await connection.end()
  return rows
}

t.test('an SQLite database is a new file in the folder of the test', async (t) => {
  const file = (await sqlite.url(t)).replace(/^sqlite:/, '')
  t.equal(existsSync(file), false)
  const db = new DatabaseSync(file)
  t.same(db.prepare('SELECT name FROM sqlite_schema').all(), [])
  db.close()
})

t.test('a MySQL database is empty, in utf8mb4, and dropped when the test ends', async (t) => {
  const names: string[] = []
  await t.test('a test with two databases', async (t) => {
    for (const url of [await mysql.url(t), await mysql.url(t)]) {
      const [[name, charset]] = (await query(
        url,
        'SELECT DATABASE(), @@character_set_database',
      )) as [[string, string]]
      t.equal(charset, 'utf8mb4')
      t.same(await query(url, 'SHOW TABLES'), [])
      names.push(name)
    }
  })
  t.equal(new Set(names).size, 2)
  const left = await query(`${process.env.TEST_MYSQL_URL}`, 'SHOW DATABASES')
  t.same(
    left.flat().filter((name) => names.includes(String(name))),
    [],
  )
})

t.test('a test without its servers says how to run it', async (t) => {
  const { TEST_MYSQL_URL, TEST_REDIS_URL, ...others } = process.env
  t.intercept(process, 'env', { value: others })
  const how = 'is not set: this test needs servers, so run it with npm test -- FILE'
  await t.rejects(mysql.url(t), { message: `TEST_MYSQL_URL ${how}` })
  t.throws(redisUrl, { message: `TEST_REDIS_URL ${how}` })
})
