import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { errors } from '../../src/errors.ts'
import type { ClaimedRow, DatabaseRun } from '../../src/task/database/run.ts'
import { DatabaseWorker, type WorkerSettings } from '../../src/task/database/worker.ts'
import { task } from '../suites/task-fixture.ts'

type Fakes = { [K in 'take' | 'finish' | 'retention']?: Partial<WorkerSettings[K]> }

function rowOf(position: number): ClaimedRow {
  const { id, queue, data, options } = task()
  return {
    ...{ position, id, queue, data: JSON.stringify(data), options: JSON.stringify(options) },
    ...{ parent: null, attempts_made: 0, crashes: 0, cancelled: 0, due: 0 },
    ...{ died: null, worker: 'test', started: 0 },
  }
}

/** A worker whose table has so many tasks, and does what `fakes` say. */
function work(t: Test, count: number, { take, finish, retention }: Fakes = {}, lease = 30_000) {
  const waiting = Array.from({ length: count }, (_, position) => rowOf(position))
  const ends = waiting.map(() => Promise.withResolvers<void>())
  const begun = Promise.withResolvers<void>()
  const nothing = { async info() {}, async warn() {}, async error() {} }
  const settings = {
    steps: { async prepare() {} },
    take: {
      look: async () => [{ queue: 'default', waits: waiting.length > 0, due: Infinity }],
      claim: async () => ({ rows: waiting.splice(0), wait: 0, more: false }),
      beat: async () => new Set<number>(),
      lost: async () => [],
      recover: async () => [],
      ...take,
    },
    finish: { succeed: async () => [], settle: async () => true, ...finish },
    retention: { async trim() {}, async sweep() {}, ...retention },
    ...{ log: nothing, lease, maxCrashes: 5, running: new Map() },
  }
  const perform = async ({ row }: DatabaseRun) => {
    if (row.position === count - 1) begun.resolve()
    await ends[row.position]?.promise
  }
  const options = { queues: ['default'], concurrency: 10, perform }
  const worker = new DatabaseWorker(options as never, settings as never)
  t.teardown(async () => {
    for (const { resolve } of ends) resolve()
    await worker.stop(1000)
  })
  return { worker, begun: begun.promise, end: (position: number) => ends[position]?.resolve() }
}

t.test('what ends while others are told of is told of as well, whenever that is', async (t) => {
  for (let steps = 0; steps <= 30; steps++) {
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const told: number[] = []
    const { begun, end } = work(t, 2, {
      finish: {
        async succeed(all) {
          told.push(...all.map(({ run }) => run.row.position))
          return []
        },
      },
      retention: {
        async trim() {
          reached.resolve()
          await gate.promise
        },
      },
    })
    await begun
    end(0)
    await reached.promise
    gate.resolve()
    for (let step = 0; step < steps; step++) await null
    end(1)
    await turn()
    await turn()
    t.strictSame(told, [0, 1], `${steps} steps later`)
  }
})

t.test('a sign of life that was not taken is given again at the next beat', async (t) => {
  const beats: (number | undefined)[] = []
  const enough = Promise.withResolvers<void>()
  const beat = async (_: unknown, __: unknown, lease?: number) => {
    beats.push(lease)
    const first = beats.findIndex((given) => given !== undefined)
    if (first === beats.length - 1) throw errors.DATABASE_UNAVAILABLE('it is away')
    if (first >= 0) enough.resolve()
    return new Set<number>()
  }
  work(t, 1, { take: { beat } }, 600)
  await enough.promise
  t.strictSame(
    beats.filter((lease) => lease !== undefined),
    [600, 600],
  )
})

t.test('what seems to be left behind is looked at again before it is taken', async (t) => {
  const calls: unknown[] = []
  const recovered = Promise.withResolvers<void>()
  const take = {
    async lost() {
      calls.push('lost')
      return [7, 8]
    },
    async recover(_: string, __: number, lost: ReadonlySet<number>) {
      calls.push([...lost])
      recovered.resolve()
      return []
    },
  }
  const sweep = async () => void calls.push('beat')
  work(t, 0, { take, retention: { sweep } }, 600)
  await recovered.promise
  t.strictSame([calls[0], calls[1]], ['lost', 'beat'])
  t.strictSame(calls.at(-1), [7, 8])
})

t.test('what has succeeded is kept, however late the database is', async (t) => {
  const kept = Promise.withResolvers<void>()
  let tries = 0
  const succeed = async () => {
    if (++tries === 1) throw errors.DEADLINE_EXCEEDED(30_000)
    kept.resolve()
    return []
  }
  const { begun, end } = work(t, 1, { finish: { succeed } })
  await begun
  end(0)
  await kept.promise
  t.equal(tries, 2)
})

t.test('what has ended is not given back, however late the database is', async (t) => {
  const answer = Promise.withResolvers<void>()
  const told: unknown[] = []
  const { worker, begun, end } = work(t, 2, {
    finish: {
      async succeed(all) {
        await answer.promise
        await turn()
        for (const { run } of all) told.push([run.row.position, 'succeeded'])
        return []
      },
      async settle({ row }, _, { state }) {
        told.push([row.position, state])
        answer.resolve()
        return true
      },
    },
  })
  await begun
  end(0)
  t.equal(await worker.stop(0), 1)
  t.strictSame(told, [
    [1, 'back'],
    [0, 'succeeded'],
  ])
})
