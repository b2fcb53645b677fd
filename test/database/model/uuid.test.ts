import t from 'tap'
import { uuidv7 } from '../../../src/database/model/query/fill.ts'

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const timeOf = (uuid: string) => Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16)

t.test('has the time, the version and the variant of RFC 9562', async (t) => {
  const before = Date.now()
  const uuid = uuidv7()
  t.match(uuid, FORM)
  t.ok(timeOf(uuid) >= before && timeOf(uuid) <= Date.now() + 1)
})

t.test('sorts in the order in which they were made', async (t) => {
  const made = Array.from({ length: 20_000 }, () => uuidv7())
  t.strictSame(made, made.toSorted())
  t.equal(new Set(made).size, made.length)
  t.ok(made.every((uuid) => FORM.test(uuid)))
})

t.test('a clock that is set back does not matter, and time goes on by itself', async (t) => {
  const future = Date.now() + 3_600_000
  const made = [uuidv7(future), ...Array.from({ length: 10_000 }, () => uuidv7(future - 1000))]
  t.strictSame(made, made.toSorted())
  const last = timeOf(made.at(-1) as string)
  t.ok(last > future && last < future + 10, 'several milliseconds of 2048 or more')
})
