import type { KyselyPlugin, QueryId } from 'kysely'
import t from 'tap'
import { TaskEnqueuer } from '../../src/task/database/enqueue.ts'
import { TaskFinisher } from '../../src/task/database/finish.ts'
import { TaskPlaces } from '../../src/task/database/places.ts'
import { KEEP } from '../../src/task/database/record.ts'
import { TaskSteps } from '../../src/task/database/steps.ts'
import { type ClaimOptions, TaskTaker } from '../../src/task/database/take.ts'
import { type AnyDatabase, onMysql, open } from '../database/fixture.ts'
import { task } from '../suites/task-fixture.ts'

const CLAIM: ClaimOptions = {
  ...{ worker: 'test', lease: 30_000, count: 2 },
  ...{ limit: undefined, concurrency: undefined, concurrencyOf: undefined, allowsSuspect: true },
}

async function steps(db: AnyDatabase) {
  const steps = new TaskSteps(db as never, {
    onOver() {},
    onReady() {},
    onError: (error) => t.fail(String(error)),
  })
  await steps.prepare()
  const places = new TaskPlaces(steps)
  const take = new TaskTaker(steps, new TaskFinisher(steps, KEEP, places), places)
  return { take, enqueue: new TaskEnqueuer(steps, KEEP) }
}

/** Stops a transaction behind the first statement about tasks of a state. */
function stopBehind(state: string) {
  const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const about = new WeakSet<QueryId>()
  const plugin: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      if (JSON.stringify(node).includes(`state = '${state}'`)) about.add(queryId)
      return node
    },
    async transformResult({ queryId, result }) {
      if (about.has(queryId)) {
        reached.resolve()
        await goOn.promise
      }
      return result
    },
  }
  return { plugin, reached: reached.promise, goOn: goOn.resolve }
}

type Taker = Awaited<ReturnType<typeof steps>>['take']

const looks: { name: string; state: string; queue: string; look(take: Taker): Promise<unknown> }[] =
  [
    {
      name: 'for those of workers that have died',
      ...{ state: 'running', queue: 'default' },
      look: (take) => take.recover('default', 5, new Set()),
    },
    {
      name: 'for those that were delayed until now',
      ...{ state: 'delayed', queue: 'mail' },
      look: (take) => take.claim('default', CLAIM),
    },
    {
      name: 'for those that wait',
      ...{ state: 'waiting', queue: 'mail' },
      look: (take) => take.claim('default', CLAIM),
    },
  ]

for (const { name, state, queue, look } of looks)
  onMysql(
    t,
    `a look ${name} keeps no others from what it does not take`,
    async (t, { db, url }) => {
      const { take, enqueue } = await steps(await open(t, url))
      const tasks = Array.from({ length: 4 }, () => task({ queue }))
      await enqueue.add(tasks)
      const stopped = stopBehind(state)
      const looking = look((await steps(db.withPlugin(stopped.plugin))).take)
      await stopped.reached
      const { rows } = await take.claim(queue, CLAIM)
      stopped.goOn()
      await looking
      t.strictSame(
        rows.map(({ id }) => id),
        tasks.slice(0, 2).map(({ id }) => id),
      )
    },
  )
