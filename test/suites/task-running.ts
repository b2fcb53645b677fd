import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { errors } from '../../src/errors.ts'
import { TaskAgain, TaskFinal, TaskRetry } from '../../src/task/errors.ts'
import { newTaskId } from '../../src/task/id.ts'
import { type DriverUnderTest, gate, stateOf, task, until, work } from './task-fixture.ts'

const NOWHERE = [newTaskId('default'), newTaskId('other'), 'default', '', 'default.1', 'a:b.c', '*']
const INTERNAL = { code: 'INTERNAL', message: errors.INTERNAL().message }

export async function taskLife(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const one = task({ input: { at: new Date(0), n: 1, not: undefined } })
  const began = new Date().toISOString()
  t.strictSame(await driver.add([one]), [one.id])
  const waiting = await driver.get(one.id)
  const { enqueued_at } = waiting ?? { enqueued_at: '' }
  t.ok(enqueued_at >= began && enqueued_at <= new Date().toISOString())
  t.strictSame(waiting, {
    id: one.id,
    queue: 'default',
    data: { ...one.data, input: { at: '1970-01-01T00:00:00.000Z', n: 1 } },
    state: 'waiting',
    progress: null,
    result: null,
    failure: null,
    attempts: 1,
    attempts_made: 0,
    worker: null,
    crashes: [],
    enqueued_at,
    due_at: enqueued_at,
    started_at: null,
    finished_at: null,
  })
  const running = gate()
  await work(t, driver, running.perform)
  const ended = driver.finished(one.id)
  const run = await until(() => running.begun[0])
  t.equal(run.attempt, 1)
  t.equal(run.id, one.id)
  t.strictSame(run.data.input, { at: '1970-01-01T00:00:00.000Z', n: 1 })
  await run.progress({ state: 'reading', message: 'half', data: { rows: 5 } })
  const record = await driver.get(one.id)
  t.match(record, {
    state: 'running',
    worker: `${hostname()}:${process.pid}`,
    progress: { state: 'reading', message: 'half', data: { rows: 5 } },
    finished_at: null,
  })
  t.ok((record?.started_at ?? '') >= enqueued_at)
  running.release()
  const done = await ended
  t.match(done, {
    state: 'succeeded',
    result: { at: '1970-01-01T00:00:00.000Z', n: 1 },
    failure: null,
    attempts_made: 1,
  })
  t.ok((done.finished_at ?? '') >= (done.started_at ?? '-'))
  t.strictSame(await driver.get(one.id), done)
  t.strictSame(await driver.finished(one.id), done, 'at once')
}

export async function taskResults(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const results: unknown[] = [
    undefined,
    null,
    0,
    '',
    false,
    [],
    { a: [1, { b: null }] },
    new Date(0),
    'ü€',
  ]
  await work(t, driver, async ({ data }) => results[data.input as number])
  const tasks = results.map((_, index) => task({ input: index }))
  await driver.add(tasks)
  const ended = await Promise.all(tasks.map(({ id }) => driver.finished(id)))
  t.strictSame(
    ended.map(({ result }) => result),
    results.map((result) => JSON.parse(JSON.stringify(result) ?? 'null')),
  )
  const unserializable = task({ input: 0 })
  results[0] = { n: 1n }
  await driver.add([unserializable])
  t.match(await driver.finished(unserializable.id), { state: 'failed', failure: INTERNAL })
}

export async function taskOnce(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const [one, same, other] = [task({ input: 1 }), task({ input: 2 }), task({ input: 3 })]
  await driver.add([one])
  t.strictSame(await driver.add([{ ...same, id: one.id }, other, other]), [
    one.id,
    other.id,
    other.id,
  ])
  t.match(await driver.get(one.id), { data: { input: 1 } })
  t.match(await driver.counts('default'), { waiting: 2 })
  const runs: unknown[] = []
  await work(t, driver, async ({ data }) => runs.push(data.input))
  await Promise.all([driver.finished(one.id), driver.finished(other.id)])
  t.strictSame(await driver.add([one]), [one.id], 'and one that has ended')
  await driver.add([same])
  await driver.finished(same.id)
  t.strictSame(runs, [1, 3, 2])
}

export async function taskUnique(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const unique = 'cities'
  const [first, second, elsewhere, third, fourth, fifth] = [
    task({ unique }),
    task({ unique }),
    task({ unique, queue: 'other' }),
    task({ unique, delay: 60_000 }),
    task({ unique }),
    task({ unique }),
  ]
  t.strictSame(await driver.add([first, second, elsewhere]), [first.id, first.id, elsewhere.id])
  t.equal(await driver.get(second.id), undefined)
  const running = gate()
  const { stop } = await work(t, driver, running.perform)
  await until(() => running.begun.length)
  t.strictSame(await driver.add([second]), [first.id], 'while it runs')
  running.release()
  await driver.finished(first.id)
  t.strictSame(await driver.add([third]), [third.id])
  t.strictSame(await driver.add([fourth]), [third.id], 'while it waits')
  await driver.cancel(third.id)
  await stop(1000)
  t.strictSame(await driver.add([fourth]), [fourth.id], 'after it was cancelled')
  // The worker that has ended may have it in its hand, to give it back.
  await until(() => driver.remove(fourth.id))
  t.strictSame(await driver.add([fifth]), [fifth.id], 'after it was removed')
}

export async function taskAlias(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const [one, never] = [task(), task()]
  await driver.add([one])
  await driver.alias(never.id, one.id)
  t.match(await again().get(never.id), { id: one.id, state: 'waiting' })
  const ended = again().finished(never.id)
  await work(t, driver, async () => 'done')
  t.match(await ended, { id: one.id, state: 'succeeded', result: 'done' })
  t.match(await driver.finished(never.id), { id: one.id })
  await driver.remove(one.id)
  t.equal(await driver.get(never.id), undefined)
}

export async function taskNowhere(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  await driver.add([task()])
  for (const id of NOWHERE) {
    t.equal(await driver.get(id), undefined, id)
    t.equal(await driver.cancel(id), false, id)
    t.equal(await driver.retry(id), false, id)
    t.equal(await driver.remove(id), false, id)
    await t.rejects(driver.finished(id), { code: 'TASK_NOT_FOUND' }, id)
  }
  t.strictSame(await driver.list('other', 'waiting', 0, 10), [])
  t.strictSame(await driver.counts('other'), {
    ...{ waiting: 0, delayed: 0, running: 0, succeeded: 0, failed: 0, crashed: 0 },
    paused: false,
  })
  t.strictSame(await driver.queues(), ['default'])
}

export async function taskFailures(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const attempts: Record<string, number[]> = {}
  await work(t, driver, async ({ data, attempt }) => {
    const what = data.input as string
    attempts[what] ??= []
    attempts[what].push(attempt)
    if (what === 'final') throw new TaskFinal(errors.FORBIDDEN())
    if (what === 'at last' && attempt === 3) return 'done'
    if (what === 'back' && attempts[what].length < 4) throw new TaskRetry(attempts[what].length - 1)
    if (what === 'back') return 'done'
    throw what === 'ours' ? errors.NOT_FOUND('city', 7) : new Error('secret')
  })
  const run = async (input: string, options = {}) => {
    const one = task({ input, ...options })
    await driver.add([one])
    return await driver.finished(one.id)
  }
  const notFound = { code: 'NOT_FOUND', message: 'There is no city 7' }
  t.match(await run('ours'), { state: 'failed', failure: notFound, result: null, attempts_made: 1 })
  t.match(await run('any'), { state: 'failed', failure: INTERNAL })
  t.match(await run('often', { attempts: 3 }), { state: 'failed', attempts: 3, attempts_made: 3 })
  const atLast = await run('at last', { attempts: 5 })
  t.match(atLast, { state: 'succeeded', result: 'done', failure: null, attempts_made: 3 })
  const forbidden = { code: 'FORBIDDEN', message: errors.FORBIDDEN().message }
  t.match(await run('final', { attempts: 5 }), { state: 'failed', failure: forbidden })
  t.match(await run('back'), { state: 'succeeded', attempts_made: 1 })
  t.strictSame(attempts, {
    ours: [1],
    any: [1],
    often: [1, 2, 3],
    'at last': [1, 2, 3],
    final: [1],
    back: [1, 1, 1, 1],
  })
}

export async function taskBackoff(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const times: number[] = []
  const one = task({ attempts: 3, backoff: { type: 'exponential', delay: 200 } })
  const other = task({ attempts: 3, backoff: { type: 'exponential', delay: 600_000 } })
  await work(t, driver, async ({ id }) => {
    if (id === one.id) times.push(Date.now())
    throw new Error('no')
  })
  await driver.add([one, other])
  // Where it stays: a shorter pause may be over before anybody looks.
  await until(async () => (await stateOf(driver, other)) === 'delayed')
  await driver.finished(one.id)
  const [first = 0, second = 0, third = 0] = times
  // Timers count in whole milliseconds of another clock.
  t.ok(second - first >= 95, 'at least half of it')
  t.ok(third - second >= 195, 'and twice as much')
}

export async function taskOrder(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const later = task({ input: 'later', delay: 2000, priority: 9 })
  const tasks = [
    later,
    task({ input: 'last', priority: 7 }),
    task({ input: 'second', priority: 3 }),
    task({ input: 'third', priority: 3 }),
    task({ input: 'first' }),
  ]
  const began = Date.now()
  await driver.add(tasks)
  t.match(await driver.counts('default'), { waiting: 4, delayed: 1 })
  t.equal(await stateOf(driver, later), 'delayed')
  const order: unknown[] = []
  await work(t, driver, async ({ data }) => order.push(data.input), { concurrency: 1 })
  await driver.finished(later.id)
  t.ok(Date.now() - began >= 1990)
  t.strictSame(order, ['first', 'second', 'third', 'last', 'later'])
}

export async function taskConcurrency(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const tasks = Array.from({ length: 30 }, (_, n) => task({ queue: n % 2 ? 'odd' : 'even' }))
  let most = 0
  const now: Record<string, number> = { odd: 0, even: 0 }
  await driver.add(tasks)
  const perform = async ({ id }: { id: string }) => {
    const queue = id.split('.')[0] as string
    now[queue] = (now[queue] ?? 0) + 1
    most = Math.max(most, now[queue])
    await until(() => most >= 3)
    await new Promise((resolve) => setTimeout(resolve, 5))
    now[queue] -= 1
  }
  await work(t, driver, perform, { queues: ['odd', 'even', 'odd'], concurrency: 3 })
  await Promise.all(tasks.map(({ id }) => driver.finished(id)))
  t.equal(most, 3)
  t.strictSame(await driver.queues(), ['even', 'odd'])
}

export async function taskLimits(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const tasks = Array.from({ length: 5 }, () => task())
  await driver.add(tasks)
  const starts: number[] = []
  // Before any of them: one that begins may be late to say so, never early.
  const began = Date.now()
  await work(t, driver, async () => starts.push(Date.now()), {
    limits: { default: { max: 2, duration: 300 } },
  })
  await Promise.all(tasks.map(({ id }) => driver.finished(id)))
  const [, , third = 0, , fifth = 0] = starts
  // Windows are measured by another clock than ours.
  t.ok(third - began >= 250, `${third - began}`)
  t.ok(fifth - began >= 550, `${fifth - began}`)
}

export async function taskAgain(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const attempts: Record<string, number> = {}
  await work(t, driver, async ({ data, attempt }) => {
    attempts[data.input as string] = attempt
    if (data.input === 'capped') throw new Error('no')
    if (attempt === 1) throw new TaskAgain(errors.NOT_FOUND('city', 7), 1)
    throw new TaskAgain(errors.NOT_FOUND('city', 8))
  })
  // Without a cap the last wait would be of months.
  const capped = task({
    input: 'capped',
    attempts: 40,
    backoff: { type: 'exponential', delay: 1, max: 2 },
  })
  const said = task({ input: 'said', attempts: 2, backoff: { type: 'fixed', delay: 3_600_000 } })
  await driver.add([capped, said])
  t.match(await driver.finished(capped.id), { state: 'failed', attempts_made: 40 })
  t.match(await driver.finished(said.id), {
    state: 'failed',
    failure: { code: 'NOT_FOUND', message: 'There is no city 8' },
    attempts_made: 2,
  })
  t.strictSame(attempts, { capped: 40, said: 2 })
}

export async function taskLimitSlides(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const duration = 600
  const delayed = Array.from({ length: 4 }, () => task({ delay: 500 }))
  const starts: number[] = []
  // None is early, by any clock.
  const began = Date.now()
  await driver.add([task(), ...delayed])
  await work(t, driver, async () => starts.push(Date.now()), {
    limits: { default: { max: 2, duration } },
  })
  await Promise.all(delayed.map(({ id }) => driver.finished(id)))
  t.equal(starts.length, 5)
  // The second begins after 500 ms, the third after 600, when the first one no longer counts.
  const fourth = (starts[3] ?? 0) - began
  t.ok(fourth >= 500 + duration - 50, `${fourth}`)
}

export async function taskThrottled(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const long = { unique: 'a', throttle: 60_000 }
  const [first, second, other] = [task(long), task(long), task({ ...long, unique: 'b' })]
  t.strictSame(await driver.add([first, other]), [first.id, other.id])
  t.strictSame(await again().add([second]), [first.id])
  const runs: unknown[] = []
  await work(t, driver, async ({ id }) => runs.push(id))
  await Promise.all([driver.finished(first.id), driver.finished(other.id)])
  t.strictSame(await driver.add([second]), [first.id], 'also when it has ended')
  t.strictSame(runs.toSorted(), [first.id, other.id].toSorted())
  const short = { unique: 'c', throttle: 50 }
  await driver.add([task(short)])
  const late = task(short)
  await until(async () => (await driver.add([late]))[0] === late.id)
  t.match(await driver.finished(late.id), { state: 'succeeded' }, 'after its time')
}

export async function taskDebounced(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const next = (input: number, pause: number) =>
    task({ input, unique: 'a', debounce: pause, delay: pause })
  const runs: unknown[] = []
  const running = gate()
  await work(t, driver, async (run) => {
    runs.push(run.data.input)
    await running.perform(run)
  })
  const [first] = await driver.add([next(1, 60_000)])
  t.strictSame(await again().add([next(2, 60_000)]), [first])
  t.strictSame(await driver.add([next(3, 60_000)]), [first], 'all of them are the first')
  t.match(await driver.get(first as string), { state: 'delayed', data: { input: 3 } })
  const asked = Date.now()
  t.strictSame(await driver.add([next(4, 1500)]), [first], 'also one that is due sooner')
  await until(() => running.begun.length)
  const begun = Date.now()
  t.ok(begun >= asked + 1495, 'so long after the last')
  t.strictSame(runs, [4], 'once, with the last one')
  const [second] = await driver.add([next(5, 1500)])
  t.not(second, first, 'what runs is put off no more')
  running.release()
  await driver.finished(second as string)
  t.strictSame(runs, [4, 5])
}

export async function taskQueueConcurrency(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  let [now, most] = [0, 0]
  const perform = async () => {
    most = Math.max(most, ++now)
    await delay(20)
    now--
  }
  const limits = { default: { concurrency: 2 } }
  const options = { queues: ['default', 'other'], limits }
  await work(t, driver, perform, options)
  if (again() !== driver) await work(t, again(), perform, options)
  const tasks = Array.from({ length: 12 }, () => task())
  await driver.add(tasks)
  for (const { id } of tasks) t.match(await driver.finished(id), { state: 'succeeded' })
  t.equal(most, 2)
}
