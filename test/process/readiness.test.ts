import t from 'tap'
import { checkReadiness, type ReadinessCheck } from '../../src/process/readiness.ts'

t.test('checks run at once', async (t) => {
  const { promise: both, resolve } = Promise.withResolvers<void>()
  let arrived = 0
  const check: ReadinessCheck = async () => {
    arrived += 1
    if (arrived === 2) resolve()
    await both
  }
  const checks = new Map([
    ['a', check],
    ['b', check],
  ])
  t.match(await checkReadiness(checks, false, 60_000), {
    ready: true,
    draining: false,
    checks: { a: { ok: true }, b: { ok: true } },
  })
})

t.test('one that fails is enough, and the caller is told why', async (t) => {
  const failures: unknown[] = []
  const checks = new Map<string, ReadinessCheck>([
    ['a', async () => {}],
    ['b', () => Promise.reject(new Error('no route to host'))],
  ])
  const readiness = await checkReadiness(checks, false, 60_000, (name, error) =>
    failures.push([name, error]),
  )
  t.match(readiness, { ready: false, checks: { a: { ok: true }, b: { ok: false } } })
  t.strictSame(failures, [['b', new Error('no route to host')]])
})

t.test('one that fails after its time has been told of already', async (t) => {
  const { promise, reject } = Promise.withResolvers<void>()
  const failures: unknown[] = []
  const readiness = await checkReadiness(new Map([['a', () => promise]]), false, 1, (name) =>
    failures.push(name),
  )
  reject(new Error('late'))
  await new Promise(setImmediate)
  t.match(readiness.checks.a, { ok: false, problem: 'no answer within 1 ms' })
  t.strictSame(failures, [])
})

t.test('one that gives up when it is told to is late, not broken', async (t) => {
  const check: ReadinessCheck = (signal) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  const readiness = await checkReadiness(new Map([['a', check]]), false, 1)
  t.match(readiness.checks.a, { ok: false, problem: 'no answer within 1 ms' })
})

t.test('one that is optional is shown, and neither enough nor logged', async (t) => {
  const failures: unknown[] = []
  const broken: ReadinessCheck = Object.assign(() => Promise.reject(new Error('away')), {
    optional: true,
  })
  const fine: ReadinessCheck = Object.assign(async () => {}, { optional: true })
  const checks = new Map([
    ['a', broken],
    ['b', fine],
  ])
  const readiness = await checkReadiness(checks, false, 60_000, (name) => failures.push(name))
  t.match(readiness, {
    ready: true,
    checks: {
      a: { ok: false, optional: true, problem: String },
      b: { ok: true, optional: true, problem: undefined },
    },
  })
  t.strictSame(failures, [])
})

t.test('a process that drains is not ready, whatever works', async (t) => {
  const readiness = await checkReadiness(new Map([['a', async () => {}]]), true, 60_000)
  t.match(readiness, { ready: false, draining: true, checks: { a: { ok: true } } })
})
