import type { Test } from 'tap'
import { errors } from '../../src/errors.ts'
import { TaskAgain, TaskRetry } from '../../src/task/errors.ts'
import type { NewTask, Run, TaskDriver, WorkOptions } from '../../src/task/types.ts'
import { type DriverUnderTest, stateOf, task, tree, until, work } from './task-fixture.ts'

/** A task of a tenant. */
function of(tenant: string, input: unknown = tenant, options: Partial<NewTask['options']> = {}) {
  return task({ concurrencyKey: tenant, input, ...options })
}

function many(count: number, make: (index: number) => NewTask): NewTask[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

/** Adds tasks one after another: of those of the same millisecond the first that somebody looks at is the first. */
async function addInOrder(driver: TaskDriver, tasks: readonly NewTask[]): Promise<void> {
  for (const task of tasks) {
    await driver.add([task])
    for (const now = Date.now(); Date.now() === now; );
  }
}

/** Tasks that run until they are let go, and what they see of one another. */
function watched() {
  const begun: unknown[] = []
  const open = new Map<Run, () => void>()
  const most = new Map<string, number>()
  const tenantOf = ({ data }: Run) => String(data.input).split(' ')[0] as string
  const running = (tenant: string) => [...open.keys()].filter((run) => tenantOf(run) === tenant)
  let isOpen = false
  return {
    /** The inputs of those that have begun, in their order. */
    begun,
    /** How many ran at once, by tenant. */
    most,
    running: (tenant: string) => running(tenant).length,
    /**
     * Until just so many run, and all others are known to wait: a worker may have taken one of which it does not know yet whether
     * there is a place for it, while what came later runs.
     */
    untilOnly: (driver: TaskDriver, count: number) =>
      until(async () => open.size === count && (await driver.counts('default')).running === count),
    async perform(run: Run) {
      const gate = Promise.withResolvers<void>()
      const handedBack = () => gate.reject(run.signal.reason)
      run.signal.addEventListener('abort', handedBack)
      open.set(run, gate.resolve)
      begun.push(run.data.input)
      const tenant = tenantOf(run)
      most.set(tenant, Math.max(most.get(tenant) ?? 0, running(tenant).length))
      try {
        if (isOpen) setTimeout(gate.resolve, 5)
        await gate.promise
      } finally {
        open.delete(run)
      }
      return run.data.input
    },
    /** Ends those that run now of a tenant. */
    end(tenant: string) {
      for (const run of running(tenant)) open.get(run)?.()
    },
    /** Ends all, and those that come as well. */
    endAll() {
      isOpen = true
      for (const end of open.values()) end()
    },
  }
}

const limited = (limit: number): Partial<WorkOptions> => ({ concurrencyOf: () => limit })

export async function taskPlaces(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const seen = watched()
  const first = many(60, (index) => of('a', `a ${index}`))
  const others = [of('b', 'b 0'), of('b', 'b 1'), task({ input: 'nobody' })]
  await driver.add([...first, ...others])
  // What waits takes no slot: with it these would be too few.
  const options = { concurrency: 5, ...limited(2) }
  await work(t, driver, seen.perform, options)
  if (again() !== driver) await work(t, again(), seen.perform, options)
  await seen.untilOnly(driver, 5)
  t.equal(seen.running('a'), 2)
  t.match(await driver.counts('default'), { running: 5, waiting: 58, delayed: 0 })
  const waiting = await driver.list('default', 'waiting', 0, 99)
  t.equal(waiting.length, 58)
  for (const record of waiting)
    t.match(record, { state: 'waiting', attempts_made: 0, worker: null, started_at: null })
  t.equal((await again().get(waiting[0]?.id ?? ''))?.state, 'waiting')
  seen.endAll()
  for (const { id } of [...first, ...others])
    t.match(await driver.finished(id), { state: 'succeeded', attempts_made: 1 })
  t.equal(seen.begun.length, 63, 'each runs once')
  t.strictSame(Object.fromEntries(seen.most), { a: 2, b: 2, nobody: 1 })
}

export async function taskPlacesInOrder(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const seen = watched()
  const one = of('a', 'a first')
  await work(t, driver, seen.perform, limited(1))
  if (again() !== driver) await work(t, again(), seen.perform, limited(1))
  await driver.add([one])
  await until(() => seen.running('a') === 1)
  const next = many(10, (index) => of('a', `a ${index}`))
  await addInOrder(driver, next)
  const [later, sooner] = [
    of('a', 'a later', { priority: 7 }),
    of('a', 'a sooner', { priority: 3 }),
  ]
  await driver.add([later, sooner])
  // Behind it nobody is left to be looked at: all of them wait for the first.
  const mark = task({ input: 'mark', priority: 9 })
  await driver.add([mark])
  await seen.untilOnly(driver, 2)
  seen.endAll()
  for (const { id } of [...next, later, sooner]) await driver.finished(id)
  t.strictSame(
    seen.begun.filter((input) => input !== 'mark'),
    ['a first', ...next.map(({ data }) => data.input), 'a sooner', 'a later'],
  )
  t.equal(seen.most.get('a'), 1)
}

export async function taskPlacesFreed(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const seen = watched()
  const tries: Record<string, number> = {}
  const perform = async (run: Run) => {
    const what = String(run.data.input)
    tries[what] = run.attempt
    if (what === 'a again' && run.attempt === 1) throw new TaskAgain(errors.CONFLICT('no'), 60_000)
    if (what === 'a back') throw new TaskRetry(60_000)
    if (what === 'a failed') throw errors.NOT_FOUND('city', 7)
    return await seen.perform(run)
  }
  await work(t, driver, perform, limited(1))
  const [held, cancelled, removed, failed, retried, back, last] = [
    of('a', 'a held'),
    of('a', 'a cancelled'),
    of('a', 'a removed'),
    of('a', 'a failed'),
    of('a', 'a again', { attempts: 2 }),
    of('a', 'a back'),
    of('a', 'a last'),
  ]
  await driver.add([held])
  await until(() => seen.running('a') === 1)
  await addInOrder(driver, [cancelled, removed, failed, retried, back, last])
  const mark = task({ input: 'mark' })
  await driver.add([mark])
  await seen.untilOnly(driver, 2)
  t.strictSame(seen.begun, ['a held', 'mark'])
  t.equal(await again().cancel(cancelled.id), true)
  t.match(await driver.finished(cancelled.id), { state: 'cancelled', attempts_made: 0 })
  t.equal(await again().remove(removed.id), true)
  t.equal(await again().cancel(held.id), true, 'what runs has a place, too')
  await until(() => seen.begun.length === 3)
  t.strictSame(seen.begun, ['a held', 'mark', 'a last'], 'each of them has left its place')
  t.match(await driver.get(failed.id), { state: 'failed', attempts_made: 1 })
  t.match(await driver.get(retried.id), { state: 'delayed', attempts_made: 1 })
  t.match(await driver.get(back.id), { state: 'delayed', attempts_made: 0 })
  seen.endAll()
  t.match(await driver.finished(last.id), { state: 'succeeded' })
}

export async function taskPlacesPaused(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const seen = watched()
  await work(t, driver, seen.perform, limited(1))
  const [first, second, third] = [of('a', 'a 1'), of('a', 'a 2'), of('a', 'a 3')]
  await driver.add([first])
  await until(() => seen.running('a') === 1)
  await addInOrder(driver, [second, third])
  const mark = task({ input: 'mark' })
  await driver.add([mark])
  await seen.untilOnly(driver, 2)
  await driver.pause('default', true)
  seen.end('a')
  await driver.finished(first.id)
  // The one that is next goes away before it runs.
  t.equal(await again().cancel(second.id), true)
  t.equal(await stateOf(driver, third), 'waiting')
  await driver.pause('default', false)
  await until(() => seen.running('a') === 1)
  t.strictSame(seen.begun, ['a 1', 'mark', 'a 3'])
  seen.endAll()
  t.match(await driver.finished(third.id), { state: 'succeeded' })
}

export async function taskPlacesStopped(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const seen = watched()
  const tasks = many(6, (index) => of('a', `a ${index}`))
  await driver.add(tasks)
  const working = await work(t, driver, seen.perform, limited(2))
  await until(() => seen.running('a') === 2)
  if (driver.kind !== 'memory') t.strictSame(await working.stop(0), { handedBack: 2 })
  else await working.stop(0)
  t.equal(seen.running('a'), 0)
  seen.endAll()
  await work(t, again(), seen.perform, limited(2))
  for (const { id } of tasks)
    t.match(await driver.finished(id), { state: 'succeeded', attempts_made: 1 })
  t.equal(seen.most.get('a'), 2)
  t.equal(seen.begun.length, 8)
}

export async function taskPlacesChanged(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const seen = watched()
  let limit: number | undefined = 1
  await work(t, driver, seen.perform, { concurrencyOf: () => limit })
  const tasks = many(20, (index) => of('a', `a ${index}`))
  await driver.add(tasks)
  await seen.untilOnly(driver, 1)
  limit = 3
  await driver.add([of('a')])
  await seen.untilOnly(driver, 3)
  limit = 2
  await driver.add([of('a')])
  await driver.add([task({ input: 'mark' })])
  await seen.untilOnly(driver, 4)
  t.equal(seen.most.get('a'), 3)
  seen.most.clear()
  seen.end('a')
  await until(() => seen.begun.length === 6 && seen.running('a') === 2)
  seen.endAll()
  for (const { id } of tasks) await driver.finished(id)
  t.equal(seen.most.get('a'), 2)
  limit = undefined
  const [more] = await driver.add([of('a')])
  t.match(await driver.finished(more as string), { state: 'succeeded' })
}

export async function taskPlacesInWindow(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const seen = watched()
  const tasks = many(5, (index) => of('a', `a ${index}`))
  await driver.add([...tasks, of('b'), of('c')])
  // What waits has not started: else no others could.
  const limits = { default: { max: 3, duration: 60_000, concurrency: 3 } }
  await work(t, driver, seen.perform, { limits, ...limited(1) })
  await until(() => seen.begun.length === 3)
  t.strictSame(seen.begun.toSorted(), ['a 0', 'b', 'c'])
}

export async function taskPlacesInTree(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const seen = watched()
  const results: unknown[] = []
  const perform = async (run: Run) => {
    if (run.data.children) results.push(...(await run.childResults()))
    if (run.data.input === 'c fails') throw errors.NOT_FOUND('city', 7)
    return await seen.perform(run)
  }
  await work(t, driver, perform, limited(1))
  const before = of('a', 'a before')
  await driver.add([before])
  await until(() => seen.running('a') === 1)
  const children = [
    of('b', 'b 1'),
    of('c', 'c fails', { ifFails: 'continue' }),
    of('b', 'b 2'),
  ] as const
  const [one, fails, two] = children
  const root = tree(
    of('a', 'a root'),
    children.map((child) => tree(child)),
  )
  await driver.addTree(root)
  await driver.finished(fails.id)
  const mark = task({ input: 'mark' })
  await driver.add([mark])
  await seen.untilOnly(driver, 3)
  // It waits for no child any more, but for its place: whatever becomes of them.
  seen.end('b')
  await until(() => seen.begun.includes('b 1') && seen.begun.includes('b 2'))
  seen.end('b')
  for (const { id } of [one, two]) await driver.finished(id)
  await driver.add([task({ input: 'second mark' })])
  await seen.untilOnly(driver, 3)
  t.equal(await stateOf(driver, root), 'waiting')
  t.notOk(seen.begun.includes('a root'))
  seen.endAll()
  t.match(await driver.finished(root.id), { state: 'succeeded' })
  t.strictSame(results, ['b 1', null, 'b 2'])
  t.strictSame([seen.most.get('a'), seen.most.get('b')], [1, 1])
}
