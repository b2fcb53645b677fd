import { stat } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Type } from 'typebox'
import type { Context } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, failure, serveThings } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { hangingOn } from '../helpers/hanging-on.ts'
import { noteUnheard } from '../helpers/unheard.ts'

const tooLate = (milliseconds: number) => ({
  code: 'DEADLINE_EXCEEDED',
  message: `There was no answer within the deadline of ${milliseconds} ms`,
  errors: null,
})

/** A resource that is done when `until` is, and tells of its context and signal. */
function createSlow(until: Promise<unknown>, timeout?: number) {
  const contexts: Context[] = []
  const slow = defineResource({
    summary: 'Slow',
    ...(timeout !== undefined && { timeout }),
    perform: async (_, context) => {
      contexts.push(context)
      await until
      return null
    },
  })
  return { slow, contexts }
}

const never = new Promise(() => {})

t.test('a call is given up after its timeout, and its signal aborts', async (t) => {
  const { slow, contexts } = createSlow(never)
  const app = await serveThings(t, { slow })
  t.strictSame(await failure(app.run(() => slow({}, { timeout: 5 }))), tooLate(5))
  t.ok(contexts[0]?.signal.aborted)
  t.match(contexts[0]?.signal.reason, { code: 'DEADLINE_EXCEEDED' }, 'for what waits on it')
})

t.test('what has come while the process stood still is not late', async (t) => {
  const signals: AbortSignal[] = []
  const held = defineResource({
    summary: 'Held',
    async perform(_, { signal }) {
      signals.push(signal)
      // Timers come next.
      await turn()
      const found = stat('.')
      block(1100)
      await found
      return null
    },
  })
  const app = await serveThings(t, { held })
  t.equal(await app.run(() => held({}, { timeout: 1000 })), null)
  await turn()
  t.equal(signals[0]?.aborted, false)
})

t.test('the definition has a timeout, which a call may change', async (t) => {
  const { slow } = createSlow(never, 6)
  const app = await serveThings(t, { slow })
  t.strictSame(await failure(app.run(() => slow())), tooLate(6))
  t.strictSame(await failure(app.run(() => slow({}, { timeout: 3 }))), tooLate(3))
})

t.test('the nearest deadline is the one that is told', async (t) => {
  const { slow } = createSlow(never)
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    timeout: 5,
    perform: () => slow({}, { timeout: 60_000 }),
  })
  const app = await serveThings(t, { slow, outer })
  t.strictSame(await failure(app.run(() => outer())), tooLate(5))
})

t.test('the signal of the caller gives a call up with its reason', async (t) => {
  const { slow, contexts } = createSlow(never)
  const app = await serveThings(t, { slow })
  const controller = new AbortController()
  const reason = new Error('the user left')
  const call = app.run(() => slow({}, { signal: controller.signal }))
  controller.abort(reason)
  await t.rejects(call, reason)
  t.equal(contexts[0]?.signal.reason, reason)
  await t.rejects(
    app.run(() => slow({}, { signal: controller.signal })),
    reason,
  )
  t.equal(contexts.length, 1, 'a call that is given up already is not begun')
})

t.test('no call begins in a context that has been given up', async (t) => {
  const begun: string[] = []
  const step = defineResource({
    summary: 'Step',
    path: '/step',
    request: Type.Object({ name: Type.String() }),
    perform({ name }) {
      begun.push(name)
      return null
    },
  })
  const gate = createGate()
  const done = createGate<unknown>()
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    async perform() {
      await step({ name: 'first' })
      await gate.opened
      done.open(await failure(step.bulk([{ name: 'second' }, { name: 'third' }])))
      return null
    },
  })
  const app = await serveThings(t, { step, outer })
  t.strictSame(await failure(app.run(() => outer({}, { timeout: 5 }))), tooLate(5))
  gate.open()
  t.strictSame(await done.opened, tooLate(5))
  t.strictSame(begun, ['first'])
})

t.test('failures that come late harm nobody', async (t) => {
  const unhandled = noteUnheard(t, 'unhandledRejection')
  const gate = createGate()
  const slow = createSlow(gate.opened.then(() => Promise.reject(new Error('late')))).slow
  const sudden = defineResource({
    summary: 'Sudden',
    path: '/sudden',
    perform() {
      throw new Error('at once')
    },
  })
  const app = await serveThings(t, { slow, sudden })
  t.equal((await failure(app.run(() => slow({}, { timeout: 5 })))).code, 'DEADLINE_EXCEEDED')
  gate.open()
  const controller = new AbortController()
  const options = { timeout: 5, signal: controller.signal }
  t.equal((await failure(app.run(() => sudden({}, options)))).message, 'at once')
  controller.abort(new Error('after the end'))
  // What nobody handles is told before the event loop goes on.
  await new Promise(setImmediate)
  t.strictSame(unhandled, [])
})

t.test('an answer in time is the answer, and leaves no timer', async (t) => {
  const { slow, contexts } = createSlow(Promise.resolve())
  const app = await serveThings(t, { slow })
  t.equal(await app.run(() => slow({}, { timeout: 60_000 })), null)
  t.equal(contexts[0]?.signal.aborted, false)
  const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout')
  t.equal(await app.run(() => slow({}, { timeout: 60_000 })), null)
  t.strictSame(
    process.getActiveResourcesInfo().filter((name) => name === 'Timeout'),
    timers,
  )
})

t.test('a call that has ended leaves nothing on the signals of those that called it', async (t) => {
  const { slow } = createSlow(Promise.resolve())
  const stuck = createSlow(never).slow
  const controller = new AbortController()
  const { signal } = controller
  const counts: number[] = []
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    async perform(_, context) {
      for (let i = 0; i < 20; i++) await slow({}, { timeout: 60_000, signal })
      await failure(stuck({}, { timeout: 5, signal }))
      counts.push(hangingOn(context.signal), hangingOn(signal))
      return null
    },
  })
  const app = await serveThings(t, { slow, outer })
  await app.run(() => outer())
  t.strictSame(counts, [0, 0])
  controller.abort()
})

t.test('0 is no deadline of a call, and what no timer can be set for is refused', async (t) => {
  const { slow } = createSlow(Promise.resolve(), 5)
  const app = await serveThings(t, { slow })
  t.equal(await app.run(() => slow({}, { timeout: 0 })), null)
  for (const timeout of [Number.POSITIVE_INFINITY, Number.NaN, -1, 1.5, 2 ** 31]) {
    const told = await failure(app.run(() => slow({}, { timeout })))
    t.match(told, {
      code: 'RESOURCE_INVALID',
      message: new RegExp(`the timeout of a call is ${timeout};`),
    })
  }
})
