import type { Kysely } from 'kysely'
import t from 'tap'
import { withDeleted } from '../../src/database/model/query/hide.ts'
import { prepareQuery } from '../../src/database/prepared.ts'
import { inTransaction } from '../../src/database/transaction.ts'
import type { Database } from '../../src/database/types.ts'
import { onEveryDatabase } from './model/fixture.ts'

interface Tables {
  city: { id: number; name: string; country: string }
}
const tables = (db: Database) => db as unknown as Kysely<Tables>

onEveryDatabase(t, 'a prepared query gets other values, and is built once', async (t, { db }) => {
  let built = 0
  const named = prepareQuery((db, name: string, country: string) => {
    built++
    return tables(db)
      .selectFrom('city')
      .select(['name'])
      .where('country', '=', country)
      .where('name', '=', name)
  })
  const own = db as unknown as Database
  t.strictSame(await named(own, 'Paris', 'FR'), [{ name: 'Paris' }])
  t.strictSame(await named(own, 'Berlin', 'DE'), [{ name: 'Berlin' }])
  t.strictSame(await named(own, 'Berlin', 'FR'), [])
  t.equal(built, 1)
  await inTransaction(own, async (trx) => {
    await tables(trx)
      .updateTable('city')
      .set({ name: 'Bonn' })
      .where('name', '=', 'Berlin')
      .execute()
    t.strictSame(await named(trx, 'Bonn', 'DE'), [{ name: 'Bonn' }], 'in a transaction')
  })
  t.equal(built, 1)
  await db.deleteFrom('city').where('name', '=', 'Paris').execute()
  t.strictSame(await named(own, 'Paris', 'FR'), [], 'what is flagged is hidden')
  t.strictSame(await named(withDeleted(own), 'Paris', 'FR'), [{ name: 'Paris' }], 'or shown')
})

onEveryDatabase(
  t,
  'what cannot be prepared is refused when it is called first',
  async (t, { db }) => {
    const own = db as unknown as Database
    const looking = prepareQuery((db, id: number) =>
      tables(db)
        .selectFrom('city')
        .select('name')
        .limit(id > 5 ? 1 : 2),
    )
    await t.rejects(looking(own, 1), { name: 'TypeError', message: /built once for all values/ })
    const writing = prepareQuery((db, id: number) =>
      tables(db).deleteFrom('city').where('id', '=', id),
    )
    await t.rejects(writing(own, 1), {
      name: 'TypeError',
      message: 'Only a select can be prepared',
    })
    t.equal((await db.selectFrom('city').select('id').execute()).length, 3)
  },
)
