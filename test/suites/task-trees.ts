import type { Test } from 'tap'
import { errors } from '../../src/errors.ts'
import type { ChildPolicy, Run, TaskTree } from '../../src/task/types.ts'
import { type DriverUnderTest, gate, stateOf, task, tree, until, work } from './task-fixture.ts'

export async function taskTree(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const leaf = (input: string, queue = 'default') => tree(task({ input, queue }))
  const inner = tree(task({ input: 'inner' }), [leaf('x'), leaf('y', 'other')])
  const none = leaf('none')
  const root = tree(task({ input: 'root' }), [leaf('a'), inner, leaf('b', 'other'), none])
  await driver.addTree(root)
  await driver.addTree(root)
  t.match(await driver.get(root.id), {
    state: 'waiting',
    data: { children: root.children.map(({ id }) => id) },
  })
  t.match(await driver.counts('default'), { waiting: 5 })
  t.strictSame(await driver.queues(), ['default', 'other'])
  const results: Record<string, unknown> = {}
  const perform = async ({ data, childResults }: Run, run?: Run) => {
    const name = data.input as string
    results[name] = await (run ? childResults.call(run) : [])
    return name === 'none' ? undefined : name.toUpperCase()
  }
  await work(t, driver, (run) => perform(run, run), { queues: ['default', 'other'] })
  t.match(await driver.finished(root.id), { state: 'succeeded', result: 'ROOT' })
  t.strictSame(results, {
    ...{ a: [], b: [], x: [], y: [], none: [] },
    inner: ['X', 'Y'],
    root: ['A', 'INNER', 'B', null],
  })
}

export async function taskTreeExisting(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const gone = gate()
  const working = await work(t, driver, async (run) => {
    if (run.data.input === 'fails') throw errors.FORBIDDEN()
    return run.data.input === 'runs' ? await gone.perform(run) : run.data.input
  })
  const [fails, ends, runs] = ['fails', 'ends', 'runs'].map((input) => tree(task({ input }))) as [
    TaskTree,
    TaskTree,
    TaskTree,
  ]
  await driver.add([fails, ends, runs])
  await Promise.all([driver.finished(fails.id), driver.finished(ends.id)])
  await until(() => gone.begun.length)
  const [delayed, child] = [tree(task({ delay: 60_000 })), tree(task({ delay: 60_000 }))]
  await driver.add([delayed])
  const other = tree(task(), [child])
  await driver.addTree(other)
  const before = await driver.counts('default')
  for (const there of [fails, ends, runs, delayed, child, other]) {
    const fresh = tree(task({ input: 'fresh' }))
    const root = tree(task(), [fresh, tree(task(), [there])])
    const refused = { code: 'TASK_EXISTS', message: new RegExp(there.id) }
    await t.rejects(driver.addTree(root), refused)
    t.strictSame([await driver.get(root.id), await driver.get(fresh.id)], [undefined, undefined])
  }
  t.strictSame(await driver.counts('default'), before, 'nothing was added')
  const again = { ...other, children: [tree(task())] }
  await driver.addTree(again)
  t.strictSame(await driver.counts('default'), before, 'one that is there itself is meant')
  gone.release()
  await driver.finished(runs.id)
  await working.stop(1000)
}

export async function taskTreeRace(t: Test, { open }: DriverUnderTest) {
  const { driver, again } = await open(t)
  const drivers = [driver, again(), again()]
  const shared = tree(task({ input: 'shared' }))
  const roots = Array.from({ length: 12 }, () => tree(task(), [tree(task()), shared]))
  const adding = roots.map((root, n) => drivers[n % 3]?.addTree(root))
  const alone = driver.add([shared])
  const added = await Promise.allSettled(adding)
  await alone
  const failed = added.filter(({ status }) => status === 'rejected')
  for (const { reason } of failed as PromiseRejectedResult[]) t.equal(reason.code, 'TASK_EXISTS')
  t.ok(failed.length >= 11)
  await work(t, driver, async () => null)
  for (const [n, { status }] of added.entries()) {
    const { id } = roots[n] as TaskTree
    if (status === 'rejected') t.equal(await driver.get(id), undefined)
    else t.match(await driver.finished(id), { state: 'succeeded' }, 'and it does not hang')
  }
  await driver.finished(shared.id)
}

export async function taskTreeFailing(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const bad = tree(task({ input: 'bad' }))
  const inner = tree(task({ input: 'inner' }), [tree(task({ input: 'good' })), bad])
  const root = tree(task({ input: 'root', attempts: 3 }), [inner])
  let isBad = true
  const runs: unknown[] = []
  await work(t, driver, async (run) => {
    runs.push(run.data.input)
    if (run.data.input === 'bad' && isBad) throw errors.FORBIDDEN()
    return await run.childResults()
  })
  await driver.addTree(root)
  const failed = await driver.finished(root.id)
  t.match(failed, { state: 'failed', failure: { code: 'TASK_FAILED', message: inner.id } })
  t.match(await driver.get(inner.id), { failure: { code: 'TASK_FAILED', message: bad.id } })
  t.match(await driver.get(bad.id), { failure: { code: 'FORBIDDEN' } })
  await until(() => runs.includes('good'))
  t.strictSame(runs.toSorted(), ['bad', 'good'])

  isBad = false
  t.equal(await driver.retry(root.id), true, 'all that failed')
  t.match(await driver.finished(root.id), { state: 'succeeded', result: [[[], []]] })
  t.strictSame(runs.toSorted(), ['bad', 'bad', 'good', 'inner', 'root'])
}

export async function taskTreeCancelled(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const trees = ['child', 'parent'].map((input) =>
    tree(task({ input }), [tree(task({ delay: 300 })), tree(task({ delay: 200 }))]),
  )
  const [child, parent] = trees as [(typeof trees)[0], (typeof trees)[0]]
  for (const one of trees) await driver.addTree(one)
  const cancelled = child.children[0]?.id ?? ''
  t.equal(await driver.cancel(cancelled), true)
  t.equal(await driver.cancel(parent.id), true)
  t.match(await driver.get(parent.id), { state: 'cancelled' })
  for (const { id } of parent.children)
    t.match(await driver.get(id), { state: 'cancelled' }, 'with all that it waits for')
  const runs: unknown[] = []
  await work(t, driver, async ({ id }) => runs.push(id))
  t.match(await driver.finished(child.id), {
    state: 'failed',
    failure: { code: 'TASK_FAILED', message: cancelled },
  })
  t.match(await driver.finished(cancelled), { state: 'cancelled' })
  t.equal(await stateOf(driver, parent), 'cancelled')
  const other = child.children[1]?.id ?? ''
  t.match(await driver.finished(other), { state: 'succeeded' }, 'one beside it goes on')
  t.strictSame(runs, [other])
  t.equal(await driver.retry(parent.id), true)
  t.match(await driver.finished(parent.id), { state: 'succeeded' }, 'all of it runs again')
  t.equal(runs.length, 4)
}

export async function taskTreePolicies(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t)
  const slow = gate()
  await work(t, driver, async (run) => {
    if (run.data.input === 'bad') throw errors.FORBIDDEN()
    if (run.data.input === 'slow') return await slow.perform(run)
    return [await run.childResults(), await run.childFailures()]
  })
  const leaf = (input: string, ifFails: ChildPolicy = 'fail') => tree(task({ input, ifFails }))
  const failure = { code: 'FORBIDDEN' }

  const ignoring = tree(task(), [leaf('bad', 'ignore'), leaf('good'), leaf('slow')])
  await driver.addTree(ignoring)
  const { id: bad = '' } = ignoring.children[0] ?? {}
  t.match(await driver.finished(bad), { state: 'failed', failure })
  await until(() => slow.begun.length)
  t.match(await driver.get(ignoring.id), { state: 'waiting' }, 'it waits for the others')
  slow.release()
  const ignored = await driver.finished(ignoring.id)
  t.match(ignored, {
    state: 'succeeded',
    result: [
      [null, [[], []], 'slow'],
      [failure, null, null],
    ],
  })

  const late = tree(task({ input: 'late', delay: 60_000 }))
  const hasty = tree(task(), [leaf('bad', 'continue'), late])
  await driver.addTree(hasty)
  const { result } = await driver.finished(hasty.id)
  t.match(
    result,
    [
      [null, null],
      [failure, null],
    ],
    'it does not wait for the others',
  )
  t.match(await driver.get(late.id), { state: 'delayed' }, 'which go on')

  const cancelled = tree(task(), [tree(task({ delay: 60_000, ifFails: 'ignore' }))])
  await driver.addTree(cancelled)
  t.equal(await driver.cancel(cancelled.children[0]?.id ?? ''), true)
  const told = { code: 'TASK_CANCELLED' }
  t.match(await driver.finished(cancelled.id), { state: 'succeeded', result: [[null], [told]] })

  const strict = tree(task(), [leaf('bad', 'ignore'), leaf('bad')])
  await driver.addTree(strict)
  t.match(await driver.finished(strict.id), { state: 'failed', failure: { code: 'TASK_FAILED' } })
}
