import type { Kysely } from 'kysely'
import t from 'tap'
import { ExpiringRows } from '../../src/database/expiring-rows.ts'
import { onEveryDatabase } from './fixture.ts'

interface Tables {
  plinth_test: { id: string; expires_at: string }
}

onEveryDatabase(t, 'texts that live for a time, for all processes', async (t, attached) => {
  const db = attached.db as unknown as Kysely<Tables>
  const open = () => new ExpiringRows(db as never, 'plinth_test', { owned: true })
  const [one, other] = [open(), open()]
  const all = async () =>
    (await db.selectFrom('plinth_test').select('id').orderBy('id').execute()).map(({ id }) => id)
  const row = (id: string, ttl: number, token = 'mine') => ({ id, value: `of ${id}`, ttl, token })
  await Promise.all([one.prepare(), other.prepare()])

  await t.test('of many at once one is added, and what it is the others are told', async (t) => {
    const tokens = Array.from({ length: 8 }, (_, n) => `${n}`)
    const add = async (token: string, n: number) =>
      (n % 2 ? one : other).addMissing({ ...row('a', 60_000, token), value: token })
    const told = await Promise.all(tokens.map(add))
    const winner = tokens[told.indexOf(undefined)] ?? ''
    t.equal(told.filter((value) => value === undefined).length, 1)
    t.strictSame(new Set(told), new Set([undefined, winner]))
    await one.replace({ ...row('a', 60_000, 'not its own'), value: 'stolen' })
    await one.removeOwned('a', 'not its own')
    t.equal(await other.read('a', 60_000), winner)
    await one.replace({ ...row('a', 60_000, winner), value: 'done' })
    t.equal(await other.read('a', 60_000), 'done')
    await other.removeOwned('a', winner)
    t.equal(await one.read('a', 60_000), undefined)
  })

  await t.test('what is over is not read, and put away with the next', async (t) => {
    await one.add([row('old', -1), row('new', 60_000)])
    t.strictSame(await all(), ['new', 'old'])
    t.equal(await other.read('old', 60_000), undefined)
    t.equal(await other.addMissing(row('newer', 60_000)), undefined)
    t.strictSame(await all(), ['new', 'newer'])
    t.equal(await other.addMissing(row('new', 60_000)), 'of new')
  })

  await t.test('what is read lives on, and is written when that is worth it', async (t) => {
    const until = async () => {
      const rows = db.selectFrom('plinth_test').select('expires_at').where('id', '=', 'new')
      return Date.parse((await rows.executeTakeFirstOrThrow()).expires_at)
    }
    const first = await until()
    t.equal(await one.read('new', 60_000), 'of new')
    t.equal(await until(), first)
    t.equal(await one.read('new', 120_000), 'of new')
    t.ok((await until()) >= first + 50_000)
  })

  await t.test('in the order of their ids, and removed together', async (t) => {
    await one.add(['g.1', 'g.2', 'h.1', 'G.1'].map((id) => row(id, 60_000)))
    const found = await other.between('g.', 'g.~')
    t.strictSame(found.map(({ id, value }) => [id, value]).toSorted(), [
      ['g.1', 'of g.1'],
      ['g.2', 'of g.2'],
    ])
    await other.remove(['g.1', 'h.1', 'nobody'])
    t.strictSame(new Set(await all()), new Set(['G.1', 'g.2', 'new', 'newer']))
    await other.remove([])
  })
})
