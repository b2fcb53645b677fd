import t, { type Test } from 'tap'
import { errors } from '../../src/errors.ts'
import { deliverTasks } from '../../src/task/deliver.ts'
import { newTaskId } from '../../src/task/id.ts'
import {
  type Message,
  type Outbox,
  type RelayOptions,
  startRelay,
  type WaitingMessage,
} from '../../src/task/relay.ts'
import type { TaskDriver, TaskTree } from '../../src/task/types.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeDriver, FakeLog } from './fake-driver.ts'

/** An outbox in memory. */
class FakeOutbox implements Outbox {
  readonly messages: (WaitingMessage & { problem?: string; failed?: boolean })[] = []
  asked = 0
  /** Set: it dies when messages have been delivered. */
  dies = false

  put(payload: unknown, id = newTaskId('default')): void {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
    this.messages.push({ id, payload: text, attempts: 0, created_at: '2026-05-04T12:00:00.000Z' })
  }

  get waiting(): string[] {
    return this.messages.filter(({ failed }) => !failed).map(({ payload }) => payload)
  }

  async send(
    limit: number,
    send: Parameters<Outbox['send']>[1],
    without: readonly string[] = [],
  ): Promise<number> {
    this.asked++
    const isWanted = ({ id, failed }: { id: string; failed?: boolean }) =>
      !failed && !without.some((queue) => id.startsWith(`${queue}.`))
    const taken = this.messages.filter(isWanted).slice(0, limit)
    if (taken.length === 0) return 0
    const { delivered, refused } = await send(taken)
    if (this.dies) throw new Error('it dies')
    for (const id of delivered) {
      const index = this.messages.findIndex((message) => message.id === id)
      this.messages.splice(index, 1)
    }
    for (const { id, problem, final } of refused) {
      const message = this.messages.find((message) => message.id === id)
      if (message)
        Object.assign(message, { problem, failed: final, attempts: message.attempts + 1 })
    }
    return taken.length
  }
}

/** A relay that has rested once. */
async function world(t: Test, options: Partial<RelayOptions> = {}) {
  const clock = new FakeClock('2026-05-04T12:00:00.000Z')
  const outbox = new FakeOutbox()
  const log = new FakeLog()
  const delivered: unknown[] = []
  /** What delivering fails with. */
  const failing: { error?: (payload: unknown) => Error | undefined } = {}
  const deliver = async (messages: readonly Message[]) => {
    for (const { payload } of messages) {
      const error = failing.error?.(payload)
      if (error) throw error
    }
    delivered.push(...messages.map(({ payload }) => payload))
  }
  const relay = startRelay({ outbox, deliver, log, clock, ...options })
  t.teardown(() => relay.stop())
  await clock.resting()
  return { clock, outbox, log, delivered, failing, relay }
}

const away = () => errors.TASKS_UNAVAILABLE('Redis is away')

t.test('delivers what is there when it starts', async (t) => {
  const outbox = new FakeOutbox()
  outbox.put(1)
  const { delivered } = await world(t, { outbox })
  t.strictSame(delivered, [1])
  t.strictSame(outbox.messages, [])
})

t.test('delivers at once when it is poked, in order', async (t) => {
  const { clock, outbox, relay, delivered } = await world(t)
  outbox.put(1)
  outbox.put({ two: 2 })
  relay.poke()
  t.strictSame(clock.waits, [], 'the next look is called off')
  await clock.resting()
  t.strictSame(delivered, [1, { two: 2 }])
  t.strictSame(outbox.messages, [])
})

t.test('looks by itself every second, not at the same time as others', async (t) => {
  const { clock, outbox, delivered } = await world(t)
  const waits = new Set<number>()
  for (let turn = 1; turn <= 20; turn++) {
    outbox.put(turn)
    const [wait = 0] = clock.waits
    t.ok(wait > 899 && wait <= 1000)
    waits.add(wait)
    await clock.advance(wait)
    t.equal(delivered.length, turn)
  }
  t.ok(waits.size > 10)
})

t.test('a poke while it is at work is not lost', async (t) => {
  const { clock, outbox, relay, delivered } = await world(t, {})
  outbox.put(1)
  relay.poke()
  outbox.put(2)
  relay.poke()
  relay.poke()
  await clock.resting()
  t.strictSame(delivered, [1, 2])
  t.equal(outbox.asked, 3, 'when it started, and twice')
})

t.test('goes on as long as there is more than a batch', async (t) => {
  const { clock, outbox, relay, delivered } = await world(t, { batch: 10 })
  for (let n = 0; n < 95; n++) outbox.put(n)
  relay.poke()
  await clock.resting()
  t.strictSame(
    delivered,
    Array.from({ length: 95 }, (_, n) => n),
  )
})

t.test('keeps everything while Redis is away, and says so once', async (t) => {
  const { clock, outbox, relay, delivered, failing, log } = await world(t)
  failing.error = away
  outbox.put(1)
  relay.poke()
  await clock.resting()
  const waits: number[] = []
  for (let turn = 0; turn < 10; turn++) {
    const [wait = 0] = clock.waits
    waits.push(wait)
    outbox.put(turn)
    const { asked } = outbox
    relay.poke()
    t.equal(outbox.asked, asked, 'a poke does not hurry it')
    await clock.advance(wait)
  }
  t.ok((waits[0] ?? 0) <= 100)
  t.ok(waits.every((wait) => wait <= 5000))
  t.ok(waits.slice(-3).every((wait) => wait >= 4000))
  t.equal(outbox.waiting.length, 11)
  t.ok(outbox.messages.every(({ attempts }) => attempts === 0))
  const begun =
    'warn The messages of the outbox cannot be delivered; this goes on until it succeeds'
  t.strictSame(log.lines, [begun])
  delete failing.error
  await clock.advance(5000)
  t.equal(delivered.length, 11)
  t.strictSame(log.lines.slice(1), [
    'info The messages of the outbox cannot be delivered: this is over',
  ])
})

t.test('a database that is away is no end either', async (t) => {
  const { clock, outbox, relay, delivered, log } = await world(t)
  const send = outbox.send.bind(outbox)
  outbox.send = async () => {
    throw errors.DATABASE_UNAVAILABLE('gone')
  }
  outbox.put(1)
  relay.poke()
  await clock.resting()
  await clock.advance(10_000)
  outbox.send = send
  await clock.advance(5000)
  t.strictSame(delivered, [1])
  t.equal(log.lines.length, 2)
})

t.test('keeps what cannot be delivered, tells why, and goes on', async (t) => {
  const { clock, outbox, relay, delivered, failing, log } = await world(t)
  failing.error = (payload) => (payload === 'bad' ? errors.TASK_INVALID('x', 'y') : undefined)
  for (const payload of ['{ no JSON', '1', '"bad"', '2']) outbox.put(payload)
  relay.poke()
  await clock.resting()
  t.strictSame(delivered, [1, 2])
  t.match(outbox.messages, [
    { payload: '{ no JSON', failed: true, problem: /JSON/ },
    { payload: '"bad"', failed: true, problem: 'The task x cannot be enqueued: y' },
  ])
  const line = 'error A message of the outbox cannot be delivered, and is kept'
  t.strictSame(log.lines, [line, line])
  await clock.advance(5000)
  t.equal(log.lines.length, 2, 'it is not tried again')
})

t.test('gives up a message that fails again and again while others get through', async (t) => {
  const { clock, outbox, relay, delivered, failing } = await world(t)
  failing.error = (payload) => (payload === 'odd' ? new TypeError('odd indeed') : undefined)
  outbox.put('"odd"')
  for (let turn = 1; turn <= 9; turn++) {
    outbox.put(turn)
    relay.poke()
    await clock.resting()
  }
  t.equal(delivered.length, 9)
  t.match(outbox.messages, [{ attempts: 9, failed: false, problem: 'odd indeed' }])
  outbox.put(10)
  relay.poke()
  await clock.resting()
  t.match(outbox.messages, [{ attempts: 10, failed: true, problem: 'odd indeed' }])
})

t.test('blames no message when none gets through', async (t) => {
  const { clock, outbox, relay, failing, log } = await world(t)
  failing.error = () => new Error('who knows')
  for (let n = 0; n < 5; n++) outbox.put(n)
  relay.poke()
  await clock.resting()
  for (let turn = 0; turn < 20; turn++) await clock.advance(5000)
  t.equal(outbox.waiting.length, 5)
  t.ok(outbox.messages.every(({ attempts }) => attempts === 0))
  t.equal(log.lines.length, 1)
})

t.test('a queue that takes none keeps no other waiting, and goes on when it does', async (t) => {
  const { clock, outbox, relay, delivered, failing, log } = await world(t, { batch: 10 })
  failing.error = (payload) => (String(payload).startsWith('mail') ? away() : undefined)
  for (let n = 0; n < 25; n++) outbox.put(`"mail ${n}"`, newTaskId('mail'))
  outbox.put('"news"', newTaskId('news'))
  relay.poke()
  await clock.resting()
  t.strictSame(delivered, ['news'], 'though more than a batch is before it')
  t.equal(outbox.waiting.length, 25)
  t.ok(outbox.messages.every(({ attempts }) => attempts === 0))
  for (let turn = 0; turn < 20; turn++) {
    outbox.put(`"news ${turn}"`, newTaskId('news'))
    relay.poke()
    await clock.resting()
    t.equal(delivered.length, turn + 2, 'at once')
  }
  delete failing.error
  await clock.advance(6000)
  t.strictSame(
    delivered.slice(21),
    Array.from({ length: 25 }, (_, n) => `mail ${n}`),
    'in order',
  )
  const what = 'The messages of the outbox for the queue mail cannot be delivered'
  t.strictSame(log.lines, [
    `warn ${what}; this goes on until it succeeds`,
    `info ${what}: this is over`,
  ])
})

t.test('a process that dies before it has removed a message leaves one task', async (t) => {
  const driver = new FakeDriver()
  const deliver = (messages: readonly Message[]) =>
    deliverTasks(driver as unknown as TaskDriver, messages)
  const first = await world(t, { deliver })
  first.outbox.dies = true
  first.outbox.put(tree('default.1'))
  first.relay.poke()
  await first.clock.resting()
  await first.relay.stop()
  t.equal(driver.given, 1)
  t.equal(first.outbox.waiting.length, 1)

  first.outbox.dies = false
  await world(t, { deliver, outbox: first.outbox })
  t.equal(driver.given, 2)
  t.strictSame([...driver.tasks.keys()], ['default.1'])
  t.strictSame(first.outbox.messages, [])
})

t.test('stops', async (t) => {
  await t.test('and finishes what is under way', async (t) => {
    const going = Promise.withResolvers<void>()
    const outbox = new FakeOutbox()
    outbox.put(1)
    const clock = new FakeClock(0)
    const relay = startRelay({ outbox, deliver: () => going.promise, log: new FakeLog(), clock })
    const stopped = relay.stop()
    going.resolve()
    await stopped
    t.strictSame(outbox.messages, [])
    t.strictSame(clock.waits, [])
    outbox.put(2)
    relay.poke()
    t.equal(outbox.asked, 1)
  })

  await t.test('but does not wait for ever', async (t) => {
    const outbox = new FakeOutbox()
    outbox.put(1)
    const deliver = () => new Promise<void>(() => {})
    const relay = startRelay({ outbox, deliver, log: new FakeLog(), clock: new FakeClock(0) })
    await relay.stop(1)
    t.equal(outbox.waiting.length, 1)
  })
})

t.test('tasks of an outbox', async (t) => {
  const now = Date.parse('2026-05-04T12:00:10.000Z')
  const give = async (...payloads: unknown[]) => {
    const driver = new FakeDriver()
    const created_at = '2026-05-04T12:00:00.000Z'
    const messages = payloads.map((payload) => ({ payload, created_at }))
    await deliverTasks(driver as unknown as TaskDriver, messages, now)
    return driver
  }

  t.test('are added as they are', async (t) => {
    const one = tree('default.1')
    const group = { ...tree('default.2'), children: [tree('default.3')] }
    const { tasks } = await give(one, group)
    t.strictSame([...tasks.values()], [one, group])
  })

  t.test('have waited already', async (t) => {
    const delayed = (delay: number) => {
      const task = tree(`default.${delay}`)
      return { ...task, options: { ...task.options, delay } }
    }
    const { tasks } = await give(delayed(25_000), delayed(10_000), delayed(4000), delayed(0))
    const delays = [...tasks.values()].map(({ options }) => options.delay)
    t.strictSame(delays, [15_000, 0, 0, 0])
  })

  t.test('are refused where they are none', async (t) => {
    const good = tree('default.1')
    const bad = [null, 1, 'x', [], {}, { ...good, id: 1 }, { ...good, data: null }]
    const worse = [
      { ...good, options: {} },
      { ...good, children: [{}] },
      { ...good, queue: undefined },
    ]
    for (const payload of [...bad, ...worse])
      await t.rejects(give(payload), { code: 'TASK_INVALID' }, JSON.stringify(payload))
  })
})

function tree(id: string): TaskTree {
  return {
    id,
    queue: 'default',
    data: { resource: 'a.b', input: {}, user: null, requestId: 'r' },
    options: { attempts: 1, backoff: { type: 'fixed', delay: 1 }, delay: 0 },
    children: [],
  }
}
