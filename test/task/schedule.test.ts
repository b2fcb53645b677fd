import t from 'tap'
import { jitterOf, parseSchedule, scheduledId } from '../../src/task/schedule.ts'

t.test('reads a schedule', async (t) => {
  const { next, newest, ...short } = parseSchedule('stats.nightly', '0 3 * * *')
  t.match(short.version, /^[\w-]{8}$/)
  t.strictSame(short, {
    name: 'stats.nightly',
    resource: 'stats.nightly',
    version: short.version,
    cron: '0 3 * * *',
    timezone: 'UTC',
    jitter: 0,
    missed: 'skip',
    overlap: 'skip',
    input: {},
  })
  t.equal(typeof next, 'function')
  t.equal(typeof newest, 'function')
  const given = { cron: '0 3 * * *', timezone: 'Asia/Tokyo', jitter: 5, missed: 'once' } as const
  const long = parseSchedule('stats.nightly', { ...given, input: { days: 1 } })
  t.match(long, { ...given, input: { days: 1 } })
  t.not(long.version, short.version, 'it comes at other times')
  t.equal(parseSchedule('other', '0 3 * * *').version, short.version)
})

t.test('refuses what is none', async (t) => {
  const cases: [given: unknown, problem: RegExp][] = [
    ['', /^cron is ""; expected five fields, or six with seconds first$/],
    ['* * * *', /expected five fields/],
    ['0 0 0 * * * 2026', /expected five fields/],
    ['@daily', /expected five fields/],
    [{ cron: undefined }, /^cron is undefined; expected five fields/],
    ['60 * * * *', /^cron is "60 \* \* \* \*": it never comes, or is none \(.*60.*\)$/],
    ['a b c d e', /it never comes, or is none/],
    ['*/0 * * * *', /it never comes, or is none/],
    ['0 0 30 2 *', /it never comes, or is none/],
    ['0 0 31 2,4 *', /it never comes, or is none \(there is no such day\)$/],
    ['H * * * *', /it never comes, or is none \(.*illegal characters.*\)$/],
    ['0 22-2 * * *', /it never comes, or is none/],
    ['* * @daily * *', /it never comes, or is none/],
    ['2027-01-01T00:00:00 * * * *', /it never comes, or is none/],
    ['Jan 1, 2027 00:00:00 GMT', /it never comes, or is none/],
    ['Fri, 01 Jan 2027 00:00:00 GMT', /it never comes, or is none/],
    [{ timezone: 'Mars/Olympus' }, /^timezone is "Mars\/Olympus"; expected a name such as Europe/],
    [{ timezone: '' }, /^timezone is "";/],
    [{ timezone: 'local' }, /^timezone is "local";/],
    [
      { jitter: -1 },
      /^jitter is -1; expected whole milliseconds, or a text like '30s' .*, from 0$/,
    ],
    [{ jitter: 0.5 }, /^jitter is 0.5;/],
    [{ jitter: '5' }, /^jitter is 5;/],
    [{ missed: 'all' }, /^missed is "all"; expected skip or once$/],
    [{ input: 1n }, /^input cannot be written as JSON$/],
    [{ input: () => 1 }, /^input cannot be written as JSON$/],
  ]
  for (const [given, problem] of cases) {
    const options = typeof given === 'string' ? given : { cron: '0 3 * * *', ...(given as object) }
    const error = thrownBy(() => parseSchedule('stats.nightly', options as never))
    t.match(error, { code: 'SCHEDULE_INVALID', message: /^The schedule of stats.nightly cannot / })
    t.match(error?.message.replace(/^.*?used: /, ''), problem)
  }
})

function thrownBy(work: () => unknown): Error | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return error as Error
  }
}

const times = (cron: string, timezone: string, after: string, count: number) => {
  const { next } = parseSchedule('stats', { cron, timezone })
  const found: string[] = []
  for (let time = Date.parse(after); found.length < count; found.push(new Date(time).toISOString()))
    time = next(time)
  return found.map((time) => time.slice(0, 16))
}

t.test('ticks', async (t) => {
  t.test('come when the expression says', async (t) => {
    t.strictSame(times('0 3 * * *', 'UTC', '2026-01-01T03:00:00Z', 1), ['2026-01-02T03:00'])
    t.strictSame(times('0 3 * * *', 'UTC', '2026-01-01T02:59:59.999Z', 1), ['2026-01-01T03:00'])
    t.strictSame(times('0 3 * * *', 'Asia/Tokyo', '2026-01-01T00:00Z', 1), ['2026-01-01T18:00'])
    t.strictSame(times('0 0 29 2 *', 'UTC', '2026-01-01T00:00Z', 1), ['2028-02-29T00:00'])
    t.strictSame(times('0 0 L * *', 'UTC', '2026-02-01T00:00Z', 1), ['2026-02-28T00:00'])
    const { next } = parseSchedule('stats', '*/5 * * * * *')
    t.equal(next(1001), 5000)
    t.equal(next(5000), 10_000)
  })

  t.test('are those that other crons have', async (t) => {
    // 1 January 2026 is a Thursday; what is shown are days of months.
    const days: [fields: string, expected: string[]][] = [
      ['13 * 5', ['01-02', '01-09', '01-13', '01-16']],
      ['13 * FRI', ['01-02', '01-09', '01-13', '01-16']],
      ['13 * +FRI', ['02-13', '03-13', '11-13']],
      ['*/10 * 1', ['01-01', '01-05', '01-11', '01-12']],
      ['* * 7', ['01-04', '01-11']],
      ['* * 0', ['01-04', '01-11']],
      ['* * SAT-SUN', ['01-03', '01-04', '01-10']],
      ['* * 5-7', ['01-02', '01-03', '01-04', '01-09']],
      ['* * mon-fri/2', ['01-02', '01-05', '01-07', '01-09']],
      ['1 JAN,apr-SEP/3 *', ['01-01', '04-01', '07-01', '01-01']],
      ['10-20/5 * *', ['01-10', '01-15', '01-20', '02-10']],
      ['L * *', ['01-31', '02-28', '03-31']],
      ['15,L * *', ['01-15', '01-31', '02-15', '02-28']],
      ['* * 5L', ['01-30', '02-27']],
      ['* * FRI#2', ['01-09', '02-13']],
      ['? * MON', ['01-05', '01-12']],
    ]
    for (const [fields, expected] of days) {
      const found = times(`0 0 ${fields}`, 'UTC', '2025-12-31T23:59Z', expected.length)
      t.strictSame(
        found.map((time) => time.slice(5, 10)),
        expected,
        fields,
      )
    }
    const clock = times('30 5-9/2 8,20 * * *', 'UTC', '2026-01-01T00:00Z', 4)
    t.strictSame(clock, [
      '2026-01-01T08:05',
      '2026-01-01T08:07',
      '2026-01-01T08:09',
      '2026-01-01T20:05',
    ])
  })

  t.test('are found however rare they are', async (t) => {
    t.strictSame(times('0 0 29 2 +MON', 'UTC', '2026-01-01T00:00Z', 2), [
      '2044-02-29T00:00',
      '2072-02-29T00:00',
    ])
    t.strictSame(times('0 0 29 2 *', 'Asia/Tokyo', '2096-03-01T00:00Z', 1), ['2104-02-28T15:00'])
  })

  t.test('in UTC need no Intl', async (t) => {
    const made = t.capture(Intl, 'DateTimeFormat', Intl.DateTimeFormat)
    for (const timezone of ['UTC', 'Etc/UTC']) {
      const { next, newest } = parseSchedule('stats', { cron: '0 3 * * *', timezone })
      t.equal(newest(0, next(0)), 3 * 3_600_000)
    }
    t.strictSame(made(), [])
    parseSchedule('stats', { cron: '0 3 * * *', timezone: 'Asia/Tokyo' })
    t.not(made().length, 0)
  })

  t.test('that do not exist when clocks are set forward come as much later', async (t) => {
    // Berlin, 29 March 2026: 02:00 is 03:00, at 01:00 UTC.
    const after = '2026-03-28T02:00Z'
    t.strictSame(times('30 2 * * *', 'Europe/Berlin', after, 3), [
      '2026-03-29T01:30',
      '2026-03-30T00:30',
      '2026-03-31T00:30',
    ])
    t.strictSame(times('*/30 2-3 * * *', 'Europe/Berlin', '2026-03-29T00:00Z', 3), [
      '2026-03-29T01:00',
      '2026-03-29T01:30',
      '2026-03-30T00:00',
    ])
    t.strictSame(times('30 * * * *', 'Europe/Berlin', '2026-03-29T00:00Z', 3), [
      '2026-03-29T00:30',
      '2026-03-29T01:30',
      '2026-03-29T02:30',
    ])
  })

  t.test('that come twice when clocks are set back come once, or in every hour', async (t) => {
    // Berlin, 25 October 2026: 03:00 is 02:00, at 01:00 UTC.
    const after = '2026-10-24T12:00Z'
    t.strictSame(times('30 2 * * *', 'Europe/Berlin', after, 2), [
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ])
    t.strictSame(times('0 1-3 * * *', 'Europe/Berlin', after, 4), [
      '2026-10-24T23:00',
      '2026-10-25T00:00',
      '2026-10-25T02:00',
      '2026-10-26T00:00',
    ])
    t.strictSame(times('30 * * * *', 'Europe/Berlin', '2026-10-24T23:40Z', 3), [
      '2026-10-25T00:30',
      '2026-10-25T01:30',
      '2026-10-25T02:30',
    ])
  })

  t.test('are the same wherever one begins to count', async (t) => {
    const crons = ['30 2 * * *', '*/20 1-3 * * *', '0 0 * * *', '*/15 * * * *', '0 */2 * * *']
    const changes = [
      ['Europe/Berlin', '2026-03-29'],
      ['Europe/Berlin', '2026-10-25'],
      ['America/Havana', '2026-03-08'],
      ['America/Havana', '2026-11-01'],
      ['Australia/Lord_Howe', '2026-04-04'],
      ['Australia/Lord_Howe', '2026-10-03'],
    ] as const
    for (const [timezone, day] of changes) {
      const from = Date.parse(day) - 86_400_000
      const to = Date.parse(day) + 86_400_000
      const wrong = crons.filter((cron) => {
        const { next, newest } = parseSchedule('stats', { cron, timezone })
        const ticks: number[] = []
        for (let tick = next(from); ticks.push(tick) && tick < to; ) tick = next(tick)
        const starts = Array.from({ length: 48 }, (_, i) => Date.parse(day) + i * 1_800_001)
        return !starts.every(
          (start) =>
            next(start) === ticks.find((tick) => tick > start) &&
            newest(from, start) === ticks.findLast((tick) => tick <= start),
        )
      })
      t.strictSame(wrong, [], `${timezone} ${day}`)
    }
  })

  t.test('the newest one is found at once, however rare or frequent they are', async (t) => {
    const year = 365 * 86_400_000
    const second = parseSchedule('stats', '* * * * * *')
    t.equal(second.newest(0, 50 * year + 1), 50 * year)
    t.equal(second.newest(50 * year, 50 * year), undefined)
    const rare = parseSchedule('stats', '0 0 29 2 *')
    t.equal(rare.newest(0, Date.parse('2027-12-31')), Date.parse('2024-02-29'))
    t.equal(rare.newest(Date.parse('2024-02-29'), Date.parse('2027-12-31')), undefined)
  })
})

t.test('ids are ids of tasks, one per tick', async (t) => {
  const id = scheduledId('default', 'stats.nightly', 1000)
  t.match(id, /^default\.[\w-]{43}$/)
  t.equal(scheduledId('default', 'stats.nightly', 1000), id)
  const others = [
    scheduledId('default', 'stats.nightly', 2000),
    scheduledId('default', 'stats', 1000),
  ]
  t.equal(new Set([id, ...others]).size, 3)
})

t.test('jitter is within its bounds', async (t) => {
  const schedule = parseSchedule('stats', { cron: '* * * * *', jitter: 1 })
  const found = Array.from({ length: 100 }, (_, tick) => jitterOf(schedule, tick))
  t.strictSame(new Set(found), new Set([0, 1]))
  t.equal(jitterOf({ ...schedule, jitter: 0 }, 5), 0)
})
