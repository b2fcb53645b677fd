import type { Test } from 'tap'
import type { ScheduleStore } from '../../src/task/schedule.ts'

/** Makes stores that share what they know, as processes do. */
export type MakeStore = () => ScheduleStore

const KEY = { name: 'stats.nightly', version: 'a' }

/** What every store of schedules does alike; `store()` is empty at first. */
export async function scheduleStoreSuite(
  t: Test,
  makeWorld: (t: Test) => MakeStore | Promise<MakeStore>,
): Promise<void> {
  await t.test('begins now, by its clock', async (t) => {
    const store = (await makeWorld(t))()
    const before = Date.now()
    const { done, now, ...rest } = await store.open(KEY)
    t.strictSame(rest, { last: null, paused: false })
    t.ok(before - 2000 < now && now < Date.now() + 2000)
    t.equal(done, now)
    t.equal((await store.open(KEY)).done, done, 'and does not begin again')
  })

  await t.test('begins when it is told', async (t) => {
    const store = (await makeWorld(t))()
    t.match(await store.open(KEY, 1000), { done: 1000, last: null })
    t.match(await store.open(KEY, 2000), { done: 1000 })
  })

  await t.test('goes on, for all, and never back', async (t) => {
    const make = await makeWorld(t)
    const [one, other] = [make(), make()]
    await one.open(KEY, 1000)
    await one.advance(KEY, 1_777_777_777_777, 1_777_777_777_000)
    await other.advance(KEY, 1_777_777_770_000, 1_777_777_770_000)
    const state = { done: 1_777_777_777_777, last: 1_777_777_777_000 }
    t.match(await other.open(KEY), state)
    await other.advance(KEY, 1_777_777_777_778)
    t.match(await one.open(KEY), { ...state, done: 1_777_777_777_778 })
  })

  await t.test('is advanced without having been opened', async (t) => {
    const store = (await makeWorld(t))()
    await store.advance(KEY, 5000, 4000)
    t.match(await store.open(KEY), { done: 5000, last: 4000 })
  })

  await t.test('is advanced by many at once', async (t) => {
    const make = await makeWorld(t)
    await make().open(KEY, 0)
    const instants = Array.from({ length: 50 }, (_, i) => ((i * 37) % 50) + 1)
    await Promise.all(instants.map((instant) => make().advance(KEY, instant, instant)))
    t.match(await make().open(KEY), { done: 50, last: 50 })
  })

  await t.test('knows each schedule and each version for itself', async (t) => {
    const store = (await makeWorld(t))()
    await store.open(KEY, 1000)
    await store.open({ ...KEY, version: 'b' }, 2000)
    await store.open({ ...KEY, name: 'other' }, 3000)
    await store.advance({ ...KEY, version: 'b' }, 9000, 9000)
    t.match(await store.open(KEY, 1000), { done: 1000, last: null })
    t.match(await store.open({ ...KEY, name: 'other' }), { done: 3000, last: null })
  })

  await t.test('begins anew where another version was in its place', async (t) => {
    const make = await makeWorld(t)
    const [one, other] = [make(), make()]
    await one.open(KEY, 1000)
    await one.advance(KEY, 2000, 2000)
    await one.open({ ...KEY, version: 'b' }, 3000)
    t.match(await other.open(KEY, 2000), { done: 2000 }, 'not for who has it all the time')
    await one.open({ ...KEY, version: 'b' }, 3000)
    const { done, now, last } = await other.open(KEY)
    t.ok(now - done < 2000 && done <= now, `${now - done}`)
    t.equal(last, 2000)
    t.equal((await one.open(KEY)).done, done, 'once')
  })

  await t.test('pauses for all, whatever the version', async (t) => {
    const make = await makeWorld(t)
    const [one, other] = [make(), make()]
    await one.open(KEY, 1000)
    await one.pause(KEY, true)
    await one.pause(KEY, true)
    t.match(await other.open(KEY), { done: 1000, paused: true })
    t.match(await other.open({ ...KEY, version: 'b' }), { paused: true })
    t.match(await other.open({ ...KEY, name: 'other' }), { paused: false })
  })

  await t.test('resumes now', async (t) => {
    const make = await makeWorld(t)
    const [one, other] = [make(), make()]
    await one.open(KEY, 1000)
    await one.pause(KEY, true)
    const before = Date.now()
    await other.pause(KEY, false)
    const { done, now, paused } = await one.open(KEY)
    t.equal(paused, false)
    t.ok(before - 2000 < done && done <= now)
  })

  await t.test('is not resumed where it was not paused', async (t) => {
    const store = (await makeWorld(t))()
    await store.open(KEY, 1000)
    await store.pause(KEY, false)
    t.match(await store.open(KEY), { done: 1000, paused: false })
  })
}
