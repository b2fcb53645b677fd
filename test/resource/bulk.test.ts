import t from 'tap'
import { Type } from 'typebox'
import { bulk } from '../../src/resource/bulk.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, serveThings } from '../helpers/app.ts'

const double = async (n: unknown) => (n as number) * 2

/** Fails for every number below 0, after all others have begun. */
function createPicky() {
  const finished: number[] = []
  const call = async (n: unknown) => {
    await new Promise(setImmediate)
    finished.push(n as number)
    if ((n as number) < 0) throw new Error(`no ${n}`)
    return n as number
  }
  return { call, finished }
}

t.test('takes a list and nothing else', async (t) => {
  for (const wrong of [undefined, null, {}, 'ab', new Set([1])]) {
    await t.rejects(bulk(double, wrong as never), TypeError)
  }
  await t.rejects(
    bulk(double, { length: 1 } as never),
    new TypeError('bulk takes a list of requests, got object'),
  )
})

t.test('of nothing comes nothing', async (t) => {
  t.strictSame(await bulk(double, []), [])
  t.strictSame(await bulk(double, [], { ignoreErrors: true }), [])
  t.strictSame(await bulk(double, [], { settled: true }), [])
})

t.test('results keep the order of the requests, whoever is done first', async (t) => {
  const gates = [1, 2, 3].map(() => createGate())
  const ended: number[] = []
  const call = async (n: unknown) => {
    await gates[n as number]?.opened
    ended.push(n as number)
    gates[(n as number) - 1]?.open()
    return `r${n}`
  }
  gates[2]?.open()
  t.strictSame(await bulk(call, [0, 1, 2], { concurrency: 3 }), ['r0', 'r1', 'r2'])
  t.strictSame(ended, [2, 1, 0])
})

t.test('only so many calls run at once, and that many do', async (t) => {
  let running = 0
  let most = 0
  const call = async () => {
    running += 1
    most = Math.max(most, running)
    await new Promise(setImmediate)
    running -= 1
  }
  for (const concurrency of [1, 3, 50]) {
    most = 0
    await bulk(call, new Array(20).fill(0), { concurrency })
    t.equal(most, Math.min(concurrency, 20))
  }
  for (const concurrency of [0, -1, Number.NaN]) {
    await t.rejects(bulk(call, [1], { concurrency }), RangeError)
  }
})

t.test('all finish before the first failure by position is thrown', async (t) => {
  const { call, finished } = createPicky()
  await t.rejects(bulk(call, [1, -2, 3, -4, 5], { concurrency: 2 }), new Error('no -2'))
  t.strictSame(finished, [1, -2, 3, -4, 5])
})

t.test('with ignoreErrors a failed slot is null, unless all failed', async (t) => {
  const { call } = createPicky()
  t.strictSame(await bulk(call, [1, -2, 3], { ignoreErrors: true }), [1, null, 3])
  await t.rejects(bulk(call, [-1, -2], { ignoreErrors: true }), new Error('no -1'))
  await t.rejects(bulk(call, [-1], { ignoreErrors: true }), new Error('no -1'))
})

t.test('settled tells of each call how it ended', async (t) => {
  const { call } = createPicky()
  t.strictSame(await bulk(call, [1, -2], { settled: true }), [
    { status: 'fulfilled', value: 1 },
    { status: 'rejected', reason: new Error('no -2') },
  ])
})

t.test('a call that throws at once fails like any other', async (t) => {
  const call = () => {
    throw new Error('at once')
  }
  t.match(await bulk(call, [1], { settled: true }), [{ reason: { message: 'at once' } }])
})

t.test('equal requests are called once with dedupe, unequal ones are not mixed up', async (t) => {
  const calls: unknown[] = []
  const call = async (request: unknown) => calls.push(request)
  const requests = [
    { ids: [1, 2], name: 'a' },
    { name: 'a', ids: [1, 2] },
    { ids: [2, 1], name: 'a' },
    { id: 1 },
    { id: '1' },
    { id: null },
    { id: 'null' },
    { id: undefined },
    { id: 1 },
    1,
    '1',
    new Date(0),
    '1970-01-01T00:00:00.000Z',
  ]
  const results = await bulk(call, requests, { dedupe: true, concurrency: 1 })
  t.strictSame(results, [1, 1, 2, 3, 4, 5, 6, 7, 3, 8, 9, 10, 11])
  t.equal(calls.length, 11)
  calls.length = 0
  await bulk(call, requests)
  t.equal(calls.length, requests.length, 'and each is called without')
})

t.test('calls that have not begun when the signal aborts fail with its reason', async (t) => {
  const controller = new AbortController()
  const reason = new Error('stop')
  const call = async (n: unknown) => {
    if (n === 2) controller.abort(reason)
    return n
  }
  const options = { concurrency: 1, settled: true, signal: controller.signal }
  t.strictSame(await bulk(call, [1, 2, 3, 4], options), [
    { status: 'fulfilled', value: 1 },
    { status: 'fulfilled', value: 2 },
    { status: 'rejected', reason },
    { status: 'rejected', reason },
  ])
})

t.test('a resource is called so', async (t) => {
  const square = defineResource({
    summary: 'Square',
    request: Type.Object({ n: Type.Integer() }),
    response: Type.Object({ square: Type.Integer() }),
    perform: ({ n }) => ({ square: n * n }),
  })
  const app = await serveThings(t, { square })
  const requests = [{ n: 2 }, { n: 'x' }, { n: 3 }] as { n: number }[]
  t.strictSame(await app.run(() => square.bulk(requests, { ignoreErrors: true })), [
    { square: 4 },
    null,
    { square: 9 },
  ])
  await t.rejects(
    app.run(() => square.bulk(requests)),
    { code: 'INVALID_REQUEST' },
  )
  await t.rejects(square.bulk([{ n: 1 }]), { code: 'CONTEXT_MISSING' })
})
