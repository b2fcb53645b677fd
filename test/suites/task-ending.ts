import { getEventListeners } from 'node:events'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { WorkerEnding } from '../../src/task/errors.ts'
import type { Run } from '../../src/task/types.ts'
import {
  type DriverUnderTest,
  gate,
  stateOf,
  task,
  tree,
  until,
  untilAborted,
  work,
} from './task-fixture.ts'

export async function taskCancelWaiting(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const tasks = [task(), task({ delay: 60_000 }), task({ priority: 5 })]
  await driver.add(tasks)
  for (const { id } of tasks) {
    const ended = driver.finished(id)
    t.equal(await driver.cancel(id), true)
    const failure = { code: 'TASK_CANCELLED', message: new RegExp(id) }
    t.match(await driver.get(id), { state: 'cancelled', failure, attempts_made: 0 })
    t.match(await driver.get(id), { started_at: null, finished_at: String })
    t.match(await ended, { state: 'cancelled' })
    t.equal(await driver.cancel(id), false, 'it has ended')
  }
  t.match(await driver.counts('default'), { waiting: 0, delayed: 0, failed: 3 })
  t.strictSame(await driver.list('default', 'failed', 0, 10), [])
  t.equal((await driver.list('default', 'cancelled', 0, 10)).length, 3)
  const runs: Run[] = []
  await work(t, driver, async (run) => runs.push(run))
  const next = task()
  await driver.add([next])
  await driver.finished(next.id)
  t.strictSame(
    runs.map(({ id }) => id),
    [next.id],
  )
  t.equal(await driver.cancel(next.id), false)
}

export async function taskCancelRunning(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  let runs = 0
  const reasons: unknown[] = []
  await work(t, driver, async (run) => {
    runs++
    if (run.data.input === 'deaf') return await until(() => run.id && ended)
    return await untilAborted(run).catch((error) => {
      reasons.push(error)
      throw error
    })
  })
  let ended = false
  const [one, deaf] = [task({ attempts: 5 }), task({ attempts: 5, input: 'deaf' })]
  await driver.add([one, deaf])
  await until(() => runs === 2)
  t.equal(await again().cancel(one.id), true)
  t.equal(await again().cancel(deaf.id), true)
  t.match(await driver.finished(one.id), {
    state: 'cancelled',
    failure: { code: 'TASK_CANCELLED' },
    attempts_made: 1,
  })
  t.match(reasons, [{ code: 'TASK_CANCELLED' }])
  t.match(await driver.get(deaf.id), { state: 'running', data: { cancelled: true } })
  ended = true
  t.match(await driver.finished(deaf.id), { state: 'cancelled', result: null })
  t.equal(runs, 2)
}

export async function taskCancelRace(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const tasks = Array.from({ length: 200 }, () => task())
  await driver.add(tasks)
  const ran = new Set<string>()
  await work(t, driver, async ({ id, signal }) => {
    ran.add(id)
    await new Promise((resolve) => setTimeout(resolve, 5))
    signal.throwIfAborted()
  })
  const cancelled = await Promise.all(tasks.map(({ id }) => driver.cancel(id)))
  const records = await Promise.all(tasks.map(({ id }) => driver.finished(id)))
  for (const [index, { id, state, started_at }] of records.entries()) {
    const wanted = cancelled[index] ? 'cancelled' : 'succeeded'
    if (state !== wanted) t.equal(state, wanted, id)
    if (!started_at && ran.has(id)) t.fail(`${id} ran after it was cancelled`)
  }
  t.ok(cancelled.filter(Boolean).length > 50)
  t.match(await driver.counts('default'), { waiting: 0, running: 0 })
}

export async function taskCancelTrue(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const other = again()
  const tasks = Array.from({ length: 200 }, () => task())
  const cancelling = new Map<string, Promise<boolean>>()
  await work(t, driver, async ({ id }) => {
    // It does not look at its signal, and ends sooner or later than it is cancelled.
    cancelling.set(id, other.cancel(id))
    for (let turns = cancelling.size % 12; turns > 0; turns--) await turn()
    // On a busy machine each of them would be sooner.
    if (cancelling.size % 12 === 0) await cancelling.get(id)
  })
  await driver.add(tasks)
  const ended: Record<string, number> = {}
  for (const { id } of tasks) {
    const { state } = await driver.finished(id)
    const said = await cancelling.get(id)
    const what = `${said} ${state}`
    ended[what] = (ended[what] ?? 0) + 1
  }
  t.strictSame(
    Object.keys(ended).filter((what) => !ENDS.includes(what)),
    [],
  )
  t.ok(ended['true cancelled'])
}

const ENDS = ['true cancelled', 'false succeeded']

export async function taskRetried(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const attempts: number[] = []
  await work(t, driver, async ({ attempt, data }) => {
    attempts.push(attempt)
    if (data.input === 'bad' && attempts.length <= 2) throw new Error('no')
    return 'done'
  })
  const [bad, delayed] = [task({ input: 'bad', attempts: 2 }), task({ delay: 60_000 })]
  await driver.add([bad, delayed])
  await driver.finished(bad.id)
  t.equal(await driver.retry(delayed.id), false)
  t.equal(await driver.retry(bad.id), true)
  t.match(await driver.finished(bad.id), { state: 'succeeded', failure: null, attempts_made: 1 })
  t.equal(await driver.retry(bad.id), false)
  t.strictSame(attempts, [1, 2, 1])
  await driver.cancel(delayed.id)
  t.equal(await driver.retry(delayed.id), true)
  const done = await until(async () => {
    const record = await driver.get(delayed.id)
    return record?.state === 'delayed' || record?.state === 'succeeded' ? record : undefined
  })
  t.equal(done.data.cancelled, undefined)
}

export async function taskRemoved(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const running = gate()
  const [one, waiting] = [task(), task({ delay: 60_000 })]
  await driver.add([one, waiting])
  await work(t, driver, running.perform)
  await until(() => running.begun.length)
  t.equal(await driver.remove(one.id), false, 'it runs')
  const waited = driver.finished(waiting.id).catch((error) => error)
  t.equal(await driver.remove(waiting.id), true)
  t.match(await waited, { code: 'TASK_NOT_FOUND' })
  t.equal(await driver.get(waiting.id), undefined)
  t.equal(await driver.remove(waiting.id), false)
  running.release()
  await driver.finished(one.id)
  t.equal(await driver.remove(one.id), true)
  t.equal(await driver.get(one.id), undefined)
}

export async function taskLists(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const named = (input: string, options = {}) => task({ input, ...options })
  const parent = tree(named('parent'), [tree(named('child'))])
  await driver.add(['a', 'b', 'c'].map((input) => named(input)))
  const last = named('p', { priority: 1 })
  await driver.add([last, named('later', { delay: 90_000 })])
  await driver.add([named('soon', { delay: 60_000 })])
  await driver.addTree(parent)
  const inputs = async (
    ...[state, start, end]: [Parameters<typeof driver.list>[1], number, number]
  ) => (await driver.list('default', state, start, end)).map(({ data }) => data.input)
  t.strictSame(await inputs('waiting', 0, 99), ['a', 'b', 'c', 'child', 'p', 'parent'])
  t.strictSame(await inputs('waiting', 1, 2), ['b', 'c'])
  t.strictSame(await inputs('delayed', 0, 99), ['soon', 'later'])
  t.strictSame(await inputs('delayed', 1, 1), ['later'])
  const perform = async ({ data }: Run) => {
    // So that no two of them end in the same millisecond.
    await delay(3)
    if (data.input === 'b') throw new Error('no')
  }
  await work(t, driver, perform, { concurrency: 1 })
  await driver.finished(last.id)
  t.strictSame(await inputs('succeeded', 0, 99), ['p', 'parent', 'child', 'c', 'a'])
  t.strictSame(await inputs('succeeded', 1, 2), ['parent', 'child'])
  t.strictSame(await inputs('failed', 0, 0), ['b'])
  t.strictSame(await inputs('failed', 1, 9), [])
  t.strictSame(await driver.counts('default'), {
    ...{ waiting: 0, delayed: 2, running: 0, succeeded: 5, failed: 1, crashed: 0 },
    paused: false,
  })
}

export async function taskPaused(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const [one, cancelled] = [task(), task()]
  await driver.pause('default', true)
  const running = gate()
  running.release()
  await work(t, driver, running.perform, { queues: ['default', 'other'] })
  await driver.add([one, cancelled])
  const other = task({ queue: 'other' })
  await driver.add([other])
  await driver.finished(other.id)
  t.equal(await stateOf(driver, one), 'waiting')
  t.match(await driver.counts('default'), { waiting: 2, paused: true })
  t.equal(await driver.cancel(cancelled.id), true)
  t.equal(await stateOf(driver, cancelled), 'cancelled')
  await driver.pause('default', false)
  t.match(await driver.finished(one.id), { state: 'succeeded' })
  t.match(await driver.counts('default'), { waiting: 0, paused: false })
}

export async function taskStopped(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const [quick, long, deaf, ready] = ['quick', 'long', 'deaf', 'ready'].map((input) =>
    task({ input, ...(input === 'long' && { priority: 1 }) }),
  ) as [
    ReturnType<typeof task>,
    ReturnType<typeof task>,
    ReturnType<typeof task>,
    ReturnType<typeof task>,
  ]
  const begun: unknown[] = []
  const reasons: unknown[] = []
  const let_go = Promise.withResolvers<void>()
  const first = await work(t, driver, async (run) => {
    const what = run.data.input
    begun.push(what)
    if (what === 'quick') return await new Promise((resolve) => setTimeout(() => resolve(1), 100))
    if (what === 'deaf') return await let_go.promise
    if (what === 'ready') return await untilAborted(run).catch(() => 'just in time')
    return await untilAborted(run).catch((error) => {
      reasons.push(error)
      throw new Error('it does not matter which')
    })
  })
  await driver.add([quick, long, deaf, ready])
  await until(() => begun.length === 4)
  const began = Date.now()
  const [stopped, same] = await Promise.all([first.stop(300), first.stop(300)])
  t.ok(Date.now() - began < 30_000)
  t.strictSame(stopped, { handedBack: 2 })
  t.strictSame(same, stopped)
  t.ok(reasons[0] instanceof WorkerEnding)
  t.match(await driver.get(quick.id), { state: 'succeeded', result: 1 })
  t.match(await driver.get(ready.id), { state: 'succeeded', result: 'just in time' })
  let_go.resolve()
  const runs: Run[] = []
  const other = again()
  const second = await work(t, other, async (run) => {
    runs.push(run)
    return 'again'
  })
  for (const { id } of [long, deaf]) {
    t.match(await driver.finished(id), { state: 'succeeded', result: 'again', attempts_made: 1 })
  }
  t.strictSame(
    runs.map(({ attempt }) => attempt),
    [1, 1],
  )
  t.strictSame(await second.stop(1000), { handedBack: 0 })
}

export async function taskWaitedFor(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const one = task({ delay: 60_000 })
  await driver.add([one])
  const controller = new AbortController()
  const waited = driver.finished(one.id, controller.signal)
  controller.abort(new Error('enough'))
  await t.rejects(waited, { message: 'enough' })
  await t.rejects(driver.finished(one.id, AbortSignal.abort(new Error('never'))), {
    message: 'never',
  })
  const ended = task()
  await work(t, driver, async () => 'done')
  await driver.add([ended])
  const patient = new AbortController().signal
  await driver.finished(ended.id, patient)
  t.strictSame(getEventListeners(patient, 'abort'), [], 'and nothing is left on a signal')
  const left = t.rejects(driver.finished(one.id), { code: 'TASKS_UNAVAILABLE' })
  await driver.close()
  await left
  await driver.close()
}

export async function taskClosed(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const failed = task()
  await driver.add([failed])
  await driver.cancel(failed.id)
  await driver.close()
  const ends = { code: 'TASKS_UNAVAILABLE', message: /this process ends/ }
  const options = { queues: ['default'], concurrency: 1, perform: async () => null }
  await t.rejects(driver.add([task()]), ends)
  await t.rejects(driver.addTree(tree(task())), ends)
  await t.rejects(driver.retry(failed.id), ends)
  await t.rejects(driver.work(options), ends)
}
