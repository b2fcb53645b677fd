import type { KyselyPlugin, QueryId } from 'kysely'
import t from 'tap'
import { TaskEnqueuer } from '../../src/task/database/enqueue.ts'
import { TaskFinisher } from '../../src/task/database/finish.ts'
import { TaskPlaces } from '../../src/task/database/places.ts'
import { KEEP } from '../../src/task/database/record.ts'
import { TaskRetention } from '../../src/task/database/retention.ts'
import { TaskSteps } from '../../src/task/database/steps.ts'
import { type ClaimOptions, TaskTaker } from '../../src/task/database/take.ts'
import { type AnyDatabase, onEveryDatabase, onMysql, open } from '../database/fixture.ts'
import { task, until } from '../suites/task-fixture.ts'

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
  const finish = new TaskFinisher(steps, KEEP, places)
  const [enqueue, retention] = [new TaskEnqueuer(steps, KEEP), new TaskRetention(steps)]
  return { take: new TaskTaker(steps, finish, places), enqueue, finish, retention }
}

/** Stops a transaction behind the first statement of which this is a part. */
function stopBehind(part: string) {
  const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const about = new WeakSet<QueryId>()
  const plugin: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      if (JSON.stringify(node).includes(part)) about.add(queryId)
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
      const stopped = stopBehind(`state = '${state}'`)
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

onMysql(
  t,
  'one that is debounced does not begin before it has what the last one brings',
  async (t, { db, url }) => {
    const { take, enqueue } = await steps(await open(t, url))
    const debounced = (input: number) => task({ unique: 'a', debounce: 1, delay: 1, input })
    const first = debounced(1)
    await enqueue.add([first])
    await until(async () => (await take.look(['default'])).some(({ due }) => due <= 0))
    const stopped = stopBehind('set uniq =')
    const adding = (await steps(db.withPlugin(stopped.plugin))).enqueue.add([debounced(2)])
    await stopped.reached
    t.strictSame((await take.claim('default', CLAIM)).rows, [])
    stopped.goOn()
    t.strictSame(await adding, [first.id])
    const row = await db.selectFrom('plinth_task').select('data').executeTakeFirstOrThrow()
    t.match(JSON.parse(row.data as string), { input: 2 })
  },
)

onEveryDatabase(
  t,
  'of those that seem to be left behind none is taken whose worker tells that it lives',
  async (t, { db }) => {
    const { take, enqueue } = await steps(db)
    const [dead, alive] = [task(), task({ queue: 'mail' })]
    await enqueue.add([dead, alive])
    const runs = new Map<string, number>()
    for (const { queue } of [dead, alive])
      for (const row of (await take.claim(queue, { ...CLAIM, lease: 1 })).rows)
        runs.set(row.id, row.position)
    t.strictSame(await take.lost(['other']), [])
    const lost = new Set(runs.values())
    await until(async () => (await take.lost(['default', 'mail'])).length === 2)
    const living = [{ row: { position: runs.get(alive.id) } }]
    await take.beat(living as never, CLAIM.worker, 60_000)
    t.strictSame(await take.recover('default', 5, new Set()), [], 'nor what did not seem so')
    const states = async () =>
      await db.selectFrom('plinth_task').select('state').orderBy('position').execute()
    t.strictSame(await states(), [{ state: 'running' }, { state: 'running' }])
    for (const queue of ['default', 'mail']) await take.recover(queue, 5, lost)
    t.strictSame(await states(), [{ state: 'waiting' }, { state: 'running' }])
  },
)

onEveryDatabase(
  t,
  'one that is put back is not deleted as one that is kept no longer',
  async (t, { db, url }) => {
    const { enqueue, finish } = await steps(await open(t, url))
    const again = task()
    await enqueue.add([again])
    await finish.cancel(again.id)
    await db.updateTable('plinth_task').set({ expires: 1 }).execute()
    const stopped = stopBehind('"expires"')
    const sweeping = (await steps(db.withPlugin(stopped.plugin))).retention.sweep()
    await stopped.reached
    t.equal(await finish.retry(again.id), true)
    stopped.goOn()
    await sweeping
    const rows = await db.selectFrom('plinth_task').select(['id', 'state']).execute()
    t.strictSame(rows, [{ id: again.id, state: 'waiting' }])
  },
)
