import type { Test } from 'tap'
import { errors } from '../../src/errors.ts'
import type { Run } from '../../src/task/types.ts'
import { type DriverUnderTest, stateOf, task, tree, until, work } from './task-fixture.ts'

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
  const runs: unknown[] = []
  await work(t, driver, async ({ id }) => runs.push(id))
  t.match(await driver.finished(child.id), {
    state: 'failed',
    failure: { code: 'TASK_FAILED', message: cancelled },
  })
  t.match(await driver.finished(cancelled), { state: 'cancelled' })
  for (const { id } of parent.children) {
    t.match(await driver.finished(id), { state: 'succeeded' }, 'they go on')
  }
  t.equal(await stateOf(driver, parent), 'cancelled')
  const others = [child.children[1]?.id, ...parent.children.map(({ id }) => id)]
  await until(() => runs.length === 3)
  t.strictSame(runs.toSorted(), others.toSorted())
}
