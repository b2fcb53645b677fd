import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { creating, onSqlite, SERVICE } from './database-service.ts'

const FILES = {
  'migrations/0001_country.ts': creating('country'),
  'migrations/0002_city.ts': creating('city'),
  'migrations/0003_size.ts': `
import { addColumn, defineMigration, runData } from 'plinth/migration'
export default defineMigration([
  addColumn('city', 'size', { type: 'integer', nullable: true }),
  runData({ up: (db) => db.insertInto('city').values({ n: 1, size: 2 }).execute(), down: async () => {} }),
])`,
}
const NAME = '0003_squashed_from_0001'

onSqlite(t, 'one migration for three', FILES, async (t, { service, run }) => {
  const file = join(service, 'migrations', `${NAME}.ts`)
  const dry = await run('migrate', 'squash', '0001', '0003', '--dry-run')
  t.match(dry, {
    code: 0,
    stderr: new RegExp(`^${NAME}: 4 operations of 3 migrations are 3$`, 'm'),
  })
  t.match(dry.stdout, /stepOf\(step0003, 2\)/)
  t.notOk(existsSync(file))

  const told = await run('migrate', 'squash', '0001', '0003')
  t.match(told, { code: 0, stdout: /^wrote .*0003_squashed_from_0001\.ts: 4 operations/ })
  t.match(
    told.stderr,
    /^step 2 of 0003_size is code and is taken from there: that file has to stay/m,
  )
  t.equal(`${readFileSync(file, 'utf8').trimEnd()}\n`, dry.stdout)
  t.match(await run('makemigrations', '--check'), { stderr: /MODELS_MISSING/ }, 'schema.json fits')
  t.match(await run('migrate', 'status'), { stdout: `pending  ${NAME}\n` })
  t.match(await run('migrate'), { code: 0, stdout: new RegExp(`^applied ${NAME} `) })
  t.match((await run('migrate', 'status')).stdout, /^applied {2}0001_country/m)
  t.match(await run('migrate', 'rollback', '--steps', '3', '--yes'), { code: 0 })
})

t.test('as JSON, and what is wrong', async (t) => {
  const service = writeService(t, { 'src/service.ts': SERVICE, ...FILES })
  const run = (...args: string[]) => manage(t, ['migrate', 'squash', ...args], { service })
  const { stdout } = await run('0001_country', '0002', '--json')
  t.strictSame(JSON.parse(stdout), {
    migration: '0002_squashed_from_0001',
    written: true,
    replaces: ['0001_country', '0002_city'],
    operations: { before: 2, after: 2 },
    code: [],
  })
  t.match(await run('0001', '0009'), { code: 1, stderr: /MIGRATION_UNKNOWN/ })
  t.match(await run('0003', '0003'), { code: 1, stderr: /MIGRATION_INVALID/ })
  t.match(await run('0001'), { code: 2 })
})
