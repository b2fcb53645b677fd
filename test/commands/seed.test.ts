import t from 'tap'
import { creating, onEveryDatabase, onSqlite } from './database-service.ts'

/** A resumable seed of six rows, two at a time; `then` runs when a batch is inserted, before it is reported. */
function seeding(then = ''): string {
  return `
import { setTimeout } from 'node:timers/promises'
import { defineSeed, insertMissing } from 'plinth'
export default defineSeed({
  summary: 'Numbers',
  total: 6,
  resumable: true,
  async run({ db, batches, progress, signal, done }) {
    for (const batch of batches([1, 2, 3, 4, 5, 6].map((n) => ({ n })), 2)) {
      const added = await insertMissing(db as never, 'item' as never, batch as never, 'n' as never)
      ${then}
      await progress(batch.length, added)
    }
  },
})`
}

const migrations = { 'migrations/0001_item.ts': creating('item') }
const files = { ...migrations, 'seeds/01_items.ts': seeding() }
const times = (text: string) => text.replace(/in [\d.]+ s \([\d,]+ rows/, 'in N s (N rows')
const done = '01_items: 6 rows, 6 of them new, in N s (N rows/s)\n'

onEveryDatabase(
  t,
  'loads the data once, and again when asked',
  files,
  async (t, { migrate, run }) => {
    t.match(await run('seed'), {
      code: 1,
      stdout: '',
      stderr:
        'error MIGRATION_PENDING: These migrations have not been applied: 0001_item; run manage migrate first\n',
    })
    await migrate()
    const first = await run('seed')
    t.match({ ...first, stdout: times(first.stdout) }, { code: 0, stdout: done, stderr: '' })
    t.match(await run('seed'), {
      code: 0,
      stdout: '01_items: 6 rows, finished before\n',
      stderr: '',
    })
    t.match(JSON.parse((await run('seed', 'items', '--again', '--json')).stdout), [
      { name: '01_items', skipped: false, rows: 6, added: 0, duration_ms: Number },
    ])
    t.match(await run('seed', 'items', 'nope'), {
      code: 1,
      stdout: '',
      stderr: 'error SEED_UNKNOWN: There is no seed nope; there are: 01_items\n',
    })
    t.match(await run('seed', '--nope'), { code: 2, stdout: '' })
  },
)

onSqlite(t, 'says so where there are no seeds', migrations, async (t, { migrate, run }) => {
  await migrate()
  t.match(await run('seed'), { code: 0, stdout: 'there are no seeds\n', stderr: '' })
})

const throwing = { ...migrations, 'seeds/01_items.ts': seeding(`throw new Error('no luck')`) }
onSqlite(t, 'exits with 1 where a seed throws', throwing, async (t, { migrate, run }) => {
  await migrate()
  t.match(await run('seed'), {
    code: 1,
    stdout: '',
    stderr:
      'error SEED_FAILED: The seed 01_items failed: no luck. What it had committed is kept; mend it and run manage seed again to go on there\n',
  })
})

// In its first run it stands still in the first batch until the signal is there.
const waits = `if (done === 0) {
  console.error('waiting')
  await setTimeout(20_000, null, { signal }).catch(() => {})
}`
const waiting = { ...migrations, 'seeds/01_items.ts': seeding(waits) }
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  onSqlite(t, `finishes the batch on ${signal}, goes on later`, waiting, async (t, shop) => {
    await shop.migrate()
    const seeding = shop.start('seed')
    await seeding.until('stderr', /waiting/)
    seeding.process.kill(signal)
    t.match(await seeding.ended, {
      code,
      stdout: '',
      stderr: 'waiting\nstopped; what was committed is kept, run manage seed again for the rest\n',
    })
    t.match(JSON.parse((await shop.run('seed', '--json')).stdout), [
      { name: '01_items', rows: 6, added: 4 },
    ])
  })
}
