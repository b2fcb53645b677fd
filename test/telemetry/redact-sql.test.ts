import t from 'tap'
import { redactSql } from '../../src/telemetry/redact-sql.ts'

t.test('a statement has no value any more', async (t) => {
  for (const [sql, redacted] of [
    [
      "select * from `user` where name = 'O''Hara' and age > 17",
      'select * from `user` where name = ? and age > ?',
    ],
    ['select \'a\\\'b\', "c\\"d", x', 'select ?, ?, x'],
    [
      'insert into `t1` values (1, -2.5, 1e3, 0xff, null)',
      'insert into `t1` values (?, -?, ?, ?, null)',
    ],
    ["select `a'b`, `2` from t2", "select `a'b`, `2` from t2"],
    ["select /* key: 's3cret' */ 1 -- s3cret\nfrom t", 'select  ? \nfrom t'],
    ["update t set token = 's3cret", 'update t set token = ?'],
    ['update t set token = "s3cret\\', 'update t set token = ?'],
    ['select ? from t where id = ?', 'select ? from t where id = ?'],
  ] as const)
    t.equal(redactSql(sql, '`'), redacted)
})

t.test('of SQLite names stand between other quotes', async (t) => {
  const sql = `select "a 1" from "city" where "name" = 's3cret' and "id" = 7 and "x" = "y`
  t.equal(
    redactSql(sql, '"'),
    'select "a 1" from "city" where "name" = ? and "id" = ? and "x" = "y',
  )
})

t.test('what is cut is cut before a value begins, or is none', async (t) => {
  const long = `insert into t values ${"('s3cret'),".repeat(1000)}`
  const redacted = redactSql(long, '`')
  t.ok(redacted.length <= 2000)
  t.notMatch(redacted, /s3|cret|'/)
})
