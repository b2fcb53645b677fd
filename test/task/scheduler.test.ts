import t, { type Test } from 'tap'
import { openMemory } from '../../src/task/memory.ts'
import { parseSchedule, scheduledId } from '../../src/task/schedule.ts'
import { controlSchedules } from '../../src/task/schedule-control.ts'
import { memorySchedules } from '../../src/task/schedule-memory.ts'
import { type SchedulerOptions, startScheduler } from '../../src/task/scheduler.ts'
import { until } from '../suites/task-fixture.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeDriver, FakeLog } from './fake-driver.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

type Given = Parameters<typeof parseSchedule>[1]

/** A world of processes that share a store and a driver. */
function world(given: Given, now = '2026-05-04T12:00:00.000Z') {
  const clock = new FakeClock(now)
  const shared = {
    schedules: [parseSchedule('stats.nightly', given)],
    driver: new FakeDriver(),
    store: memorySchedules(clock.now),
    log: new FakeLog(),
    clock,
  }
  const start = (t: Test, options: Partial<SchedulerOptions> = {}) => {
    const scheduler = startScheduler({ ...shared, ...options })
    t.teardown(() => scheduler.stop())
    return scheduler
  }
  return { ...shared, start, control: controlSchedules(shared) }
}

const run = (time: string) => `schedule-stats.nightly-${time.replaceAll(':', '')}`

t.test('adds a task for each tick, when it comes', async (t) => {
  const { clock, driver, start } = world({ cron: '0 3 * * *', input: { days: 1 } })
  start(t)
  await clock.resting()
  await clock.advance(15 * HOUR - 1)
  t.equal(driver.tasks.size, 0)
  await clock.advance(1)
  const id = scheduledId('default', 'stats.nightly', Date.parse('2026-05-05T03:00:00Z'))
  t.match(id, /^default\.[\w-]{43}$/)
  t.strictSame(
    [...driver.tasks.values()],
    [
      {
        id,
        queue: 'default',
        data: {
          resource: 'stats.nightly',
          input: { days: 1 },
          user: null,
          requestId: run('2026-05-05T03:00:00.000Z'),
        },
        options: {
          attempts: 1,
          backoff: { type: 'exponential', delay: 1000 },
          delay: 0,
          unique: 'schedule stats.nightly',
        },
      },
    ],
  )
  await clock.advance(2 * DAY)
  t.equal(driver.tasks.size, 3)
  t.equal(driver.given, 3)
})

t.test('sleeps no longer than a minute, however far the next tick is', async (t) => {
  const { clock, start } = world('0 0 29 2 *')
  start(t)
  await clock.resting()
  t.strictSame(clock.waits, [60_000])
})

t.test('is once per tick, however many processes there are and whichever die', async (t) => {
  const { clock, driver, start } = world('* * * * * *')
  const processes = [-4000, -900, 0, 700, 5000].map((skew) =>
    start(t, { clock: clock.skewed(skew) }),
  )
  await clock.resting(5)
  await clock.advance(10_000)
  await Promise.all(processes.slice(0, 2).map((process) => process.stop()))
  await clock.advance(10_000)
  start(t, { clock: clock.skewed(3000) })
  await clock.resting(4)
  await clock.advance(10_000)
  const seconds = Array.from({ length: 30 }, (_, i) =>
    run(new Date(clock.now() - (29 - i) * 1000).toISOString()),
  )
  t.strictSame(driver.requests.sort(), seconds.sort())
})

t.test('a process that dies between adding and recording leaves no second task', async (t) => {
  const { clock, driver, store, start } = world('0 * * * *')
  const recording = Promise.withResolvers<void>()
  const advance = () => {
    recording.resolve()
    return new Promise<void>(() => {})
  }
  const dead = start(t, { store: { ...store, advance } })
  await clock.resting()
  const running = clock.advance(HOUR)
  await recording.promise
  t.equal(driver.given, 1)
  await dead.stop(0)
  start(t)
  await running
  await clock.resting()
  t.equal(driver.given, 2)
  t.strictSame(driver.requests, [run('2026-05-04T13:00:00.000Z')])
})

t.test('a process that starts between two ticks leaves none out', async (t) => {
  const { clock, driver, start, store, schedules } = world('*/10 * * * * *')
  await store.open(schedules[0] as never)
  clock.jump(25_000)
  start(t)
  await clock.resting()
  const due = [run('2026-05-04T12:00:10.000Z'), run('2026-05-04T12:00:20.000Z')]
  t.strictSame(driver.requests, due)
})

t.test('a tick is not added again when its task is forgotten', async (t) => {
  const { clock, driver, start } = world('0 * * * *')
  const first = start(t)
  await clock.resting()
  await clock.advance(HOUR)
  await first.stop()
  driver.tasks.clear()
  start(t)
  await clock.resting()
  await clock.advance(HOUR - 1)
  t.strictSame(driver.requests, [])
})

t.test('missed ticks', async (t) => {
  /** Runs for an hour, then nobody does for `away` ms. */
  async function after(t: Test, given: Given, away: number) {
    const { clock, driver, start, log } = world(given)
    const first = start(t)
    await clock.resting()
    await clock.advance(HOUR)
    await first.stop()
    driver.tasks.clear()
    clock.jump(away)
    start(t)
    await clock.resting()
    return { requests: driver.requests, lines: log.lines, clock, driver }
  }

  t.test('are skipped', async (t) => {
    const { requests, lines, clock, driver } = await after(t, '30 * * * *', 3 * HOUR)
    t.strictSame(requests, [])
    t.strictSame(lines, ['warn A schedule was missed, and is skipped'])
    await clock.advance(HOUR)
    t.strictSame(driver.requests, [run('2026-05-04T16:30:00.000Z')])
    t.equal(lines.length, 1)
  })

  t.test('or the newest one runs', async (t) => {
    const { requests, lines } = await after(t, { cron: '30 * * * *', missed: 'once' }, 3 * HOUR)
    t.strictSame(requests, [run('2026-05-04T15:30:00.000Z')])
    t.strictSame(lines, ['warn A schedule was missed; it runs once now'])
  })

  t.test('or none, where one comes in time', async (t) => {
    const { requests } = await after(t, { cron: '0 * * * *', missed: 'once' }, 3 * HOUR)
    t.strictSame(requests, [run('2026-05-04T16:00:00.000Z')])
  })

  t.test('were not missed within a minute', async (t) => {
    const { requests, lines } = await after(t, '59 * * * *', 60 * 60_000)
    t.strictSame(requests, [run('2026-05-04T13:59:00.000Z')])
    t.strictSame(lines, [])
  })

  t.test('are few, however many were missed', async (t) => {
    const { requests } = await after(t, '* * * * * *', 400 * DAY)
    t.equal(requests.length, 61)
  })

  t.test('are none of a schedule that came at other times', async (t) => {
    const { clock, driver, start } = world({ cron: '0 3 * * *', missed: 'once' })
    const first = start(t)
    await clock.resting()
    await first.stop()
    clock.jump(8 * HOUR + 30 * 60_000)
    start(t, { schedules: [parseSchedule('stats.nightly', { cron: '0 * * * *', missed: 'once' })] })
    await clock.resting()
    t.strictSame(driver.requests, [])
  })
})

t.test('goes on after an outage, and logs it once', async (t) => {
  const { clock, driver, start, log } = world('*/10 * * * * *')
  start(t)
  await clock.resting()
  driver.isAway = true
  await clock.advance(35_000)
  t.strictSame(log.lines, [
    'warn The tasks of schedules cannot be added; this goes on until it succeeds',
  ])
  driver.isAway = false
  await clock.advance(5000)
  const ticks = ['10', '20', '30', '40'].map((second) => run(`2026-05-04T12:00:${second}.000Z`))
  t.strictSame(driver.requests, ticks)
  t.equal(log.lines.length, 2)
  t.match(log.lines[1], /this is over$/)
})

t.test('a schedule that fails does not hold up the others', async (t) => {
  const { clock, driver, start, schedules, store } = world('* * * * * *')
  const bad = parseSchedule('bad.one', '0 * * * * *')
  const open: typeof store.open = async (key, from) => {
    if (key.name === 'bad.one') throw new Error('broken')
    return store.open(key, from)
  }
  start(t, { schedules: [bad, ...schedules], store: { ...store, open } })
  await clock.resting()
  for (let second = 1; second <= 30; second++) {
    await clock.advance(1000)
    t.equal(driver.tasks.size, second)
  }
})

t.test('what the store took too long to tell is asked again', async (t) => {
  const { clock, driver, start, store } = world('0 * * * *')
  let slow = false
  const open: typeof store.open = async (key, from) => {
    const state = await store.open(key, from)
    if (slow) clock.jump(HOUR)
    slow = false
    return state
  }
  start(t, { store: { ...store, open } })
  await clock.resting()
  await clock.advance(HOUR - 1)
  slow = true
  await clock.advance(1)
  t.equal(driver.given, 0, 'it may be done already')
  await clock.advance(1000)
  t.strictSame(driver.requests, [run('2026-05-04T14:00:00.000Z')])
})

t.test('a store that has forgotten is told', async (t) => {
  const { clock, driver, start, store } = world('0 * * * *')
  let current = store
  start(t, {
    store: {
      open: (key, from) => current.open(key, from),
      advance: (...args) => current.advance(...args),
      pause: (...args) => current.pause(...args),
    },
  })
  await clock.resting()
  await clock.advance(HOUR + 1000)
  current = memorySchedules(clock.now)
  driver.tasks.clear()
  await clock.advance(HOUR)
  t.strictSame(driver.requests, [run('2026-05-04T14:00:00.000Z')])
})

t.test('jitter delays each tick by its own time, the same in all processes', async (t) => {
  const delays = async () => {
    const { clock, driver, start } = world({ cron: '0 * * * *', jitter: 60_000 })
    start(t)
    await clock.resting()
    await clock.advance(20 * HOUR)
    return [...driver.tasks.values()].map(({ options }) => options.delay)
  }
  const first = await delays()
  t.strictSame(await delays(), first)
  t.equal(first.length, 20)
  t.ok(new Set(first).size > 15)
  t.ok(first.every((delay) => Number.isInteger(delay) && delay >= 0 && delay <= 60_000))
  t.ok(Math.max(...first) > 30_000)
})

t.test('an operator', async (t) => {
  const { clock, driver, start, control } = world({ cron: '0 * * * *', missed: 'once' })
  const process = start(t)
  await clock.resting()

  await t.test('sees what there is', async (t) => {
    const names = { name: 'stats.nightly', resource: 'stats.nightly' }
    const expected = { ...names, cron: '0 * * * *', timezone: 'UTC', paused: false }
    t.strictSame(await control.list(), [
      { ...expected, next: '2026-05-04T13:00:00.000Z', last: null },
    ])
    await clock.advance(HOUR)
    const [next, last] = ['2026-05-04T14:00:00.000Z', '2026-05-04T13:00:00.000Z']
    t.strictSame(await control.list(), [{ ...expected, next, last }])
  })

  await t.test('pauses', async (t) => {
    await control.pause('stats.nightly')
    await clock.advance(2 * HOUR)
    t.equal(driver.tasks.size, 1)
    t.match(await control.list(), [{ paused: true, last: '2026-05-04T13:00:00.000Z' }])
  })

  await t.test('runs it all the same', async (t) => {
    const id = await control.runNow('stats.nightly')
    t.match(driver.tasks.get(id), { data: { resource: 'stats.nightly', input: {} } })
    t.not(await control.runNow('stats.nightly'), id)
    t.equal(driver.tasks.size, 3)
  })

  await t.test('resumes: what came in between is not missed', async (t) => {
    await process.stop()
    clock.jump(2 * HOUR + 60_000 * 5)
    await control.resume('stats.nightly')
    start(t)
    await clock.resting()
    t.equal(driver.tasks.size, 3)
    await clock.advance(HOUR)
    t.equal(driver.tasks.size, 4)
    t.match(await control.list(), [{ paused: false, last: '2026-05-04T18:00:00.000Z' }])
  })

  await t.test('is told which there are not', async (t) => {
    const unknown = { code: 'NOT_FOUND', message: 'There is no schedule nope' }
    await t.rejects(control.pause('nope'), unknown)
    await t.rejects(control.resume('nope'), unknown)
    await t.rejects(control.runNow('nope'), unknown)
  })
})

t.test('what changes while it is asked for is asked for again', async (t) => {
  const { clock, start } = world('* * * * * *')
  const answers: ((schedules: []) => void)[] = []
  const more = () => new Promise<[]>((resolve) => answers.push(resolve))
  const scheduler = start(t, { schedules: [], more })
  scheduler.look()
  answers[0]?.([])
  await clock.resting()
  const passed = clock.advance(0)
  await until(() => answers.length === 2)
  answers[1]?.([])
  await passed
})

t.test('stops: nothing is added any more', async (t) => {
  const { clock, driver, start } = world('* * * * * *')
  const scheduler = start(t)
  await clock.resting()
  await scheduler.stop()
  await scheduler.stop()
  t.strictSame(clock.waits, [])
  await clock.advance(5000)
  t.equal(driver.given, 0)
})

t.test('without schedules it does nothing', async (t) => {
  const { clock, start } = world('* * * * * *')
  await start(t, { schedules: [] }).stop()
  t.strictSame(clock.waits, [])
})

t.test('leaves out what would overlap, or lets it wait, or run', async (t) => {
  for (const [overlap, expected] of [
    ['skip', [1, 1]],
    ['queue', [3, 4]],
    ['allow', [3, 4]],
  ] as const) {
    const { clock, start, log } = world({ cron: '0 * * * *', overlap })
    const driver = openMemory()
    t.teardown(() => driver.close())
    start(t, { driver })
    await clock.resting()
    await clock.advance(3 * HOUR)
    const count = async () => (await driver.list('default', 'waiting', 0, 9)).length
    t.equal(await count(), expected[0], overlap)
    const [first] = await driver.list('default', 'waiting', 0, 0)
    await driver.cancel(first?.id ?? '')
    await clock.advance(HOUR)
    await clock.advance(HOUR)
    t.equal(await count(), expected[1], overlap)
    t.equal(log.lines.length, overlap === 'skip' ? 3 : 0)
  }
})

t.test('a schedule that is put back to what it was runs none of the time between', async (t) => {
  const { clock, driver, start, log } = world({ cron: '0 3 * * *', missed: 'once' })
  const before = start(t)
  await clock.resting()
  await before.stop()
  const changed = parseSchedule('stats.nightly', { cron: '0 4 * * *', missed: 'once' })
  const other = start(t, { schedules: [changed] })
  await clock.resting()
  await clock.advance(2 * DAY)
  await other.stop()
  t.equal(driver.tasks.size, 2)
  start(t)
  await clock.resting()
  t.equal(driver.tasks.size, 2, 'at once')
  await clock.advance(DAY)
  t.equal(driver.tasks.size, 3)
  t.strictSame(log.lines, [])
})
