import type { Found } from '../cache/types.ts'
import { activeTrace } from '../trace.ts'
import type { CacheSlot } from './cache-policy.ts'
import { cachedResult, cacheSlot } from './cached.ts'
import { runInContext } from './context.ts'
import { enqueueCall } from './enqueue.ts'
import type { Observer } from './observer.ts'
import { type Call, isSeen, performed, step } from './steps.ts'

/** Decides whether a call may be made: throws what its caller is told, where it may not. */
export type Authorize = (call: Call) => Promise<void> | void

declare module 'fastify' {
  interface FastifyInstance {
    /** Asked before anything else for each call of this app, whichever way it comes; without it each may be made. */
    authorize?: Authorize
  }
}

/** What one way to call makes of the outcome. */
export interface Answer<T> {
  /** For a result that is JSON already: one of a resource with a cache. */
  text(result: Found & { text: string }, call: Call): T
  /** For a result as `perform` has returned it and the check has passed it, or for the task that was added. */
  data(value: unknown, call: Call): T
  /** Whether the state of what the call would find speaks against it, or makes it needless: `unchanged` is the answer then. */
  precondition?: ((call: Call) => Promise<boolean>) | undefined
  unchanged?(call: Call): T
  /** Lets `value` through, or something in its place. @throws {PlinthError} INVALID_RESPONSE */
  check(value: unknown, call: Call): unknown
}

/**
 * Every call of a resource: *authorize → precondition → cache → perform → check*. Whichever way it has come, a route, a
 * call in process, a task, it is what `answer` makes of the outcome. The channels let others observe it.
 *
 * @returns at once where level 1 of the cache has the result, or `perform` and the permissions waited for nothing; else a promise
 */
export function execute<T>(call: Call, answer: Answer<T>): T | Promise<T> {
  const { observer } = call.context.app
  return observer ? observe(observer, call, answer) : run(call, answer)
}

/** Not by a channel: an answer at once stays one, and each app hears of its own calls alone. */
function observe<T>(observer: Observer, call: Call, answer: Answer<T>): T | Promise<T> {
  const { called, traced } = observer
  const isTraced = traced !== undefined && activeTrace.getStore() !== undefined
  const work = () => run(call, answer)
  if (!called) return isTraced ? traced(call, work) : work()
  const began = performance.now()
  const told = (error: unknown) => called(call, began, error)
  return ending(isTraced ? () => traced(call, work) : work, told)
}

/** Does `work`, and tells `over` when it has ended: its error, or `undefined`. */
export function ending<T>(
  work: () => T | Promise<T>,
  over: (error: unknown) => void,
): T | Promise<T> {
  const failed = (error: unknown): never => {
    over(error)
    throw error
  }
  let outcome: T | Promise<T>
  try {
    outcome = work()
  } catch (error) {
    return failed(error)
  }
  const succeeded = (value: T): T => {
    over(undefined)
    return value
  }
  return outcome instanceof Promise ? outcome.then(succeeded, failed) : succeeded(outcome)
}

function run<T>(call: Call, answer: Answer<T>): T | Promise<T> {
  return isSeen('call')
    ? step('call', (call) => takeSteps(call, answer), call)
    : takeSteps(call, answer)
}

function takeSteps<T>(call: Call, answer: Answer<T>): T | Promise<T> {
  const authorized = authorize(call)
  if (authorized !== undefined || answer.precondition !== undefined)
    return goOn(call, answer, authorized)
  const slot = slotOf(call)
  const isQuick = slot && call.mode === 'cached' && !isSeen('cache')
  const hit = isQuick ? slot.cache.peek(slot.key) : undefined
  return hit === undefined ? work(call, answer, slot) : answer.text(hit, call)
}

async function goOn<T>(
  call: Call,
  answer: Answer<T>,
  authorized: Promise<void> | undefined,
): Promise<T> {
  if (authorized) await authorized
  const { precondition } = answer
  if (precondition) {
    const check = (call: Call) => runInContext(call.context, precondition, call, undefined)
    if (await step('precondition', check, call))
      return (answer.unchanged as (call: Call) => T)(call)
  }
  return await work(call, answer, slotOf(call))
}

/** The first step; a promise only where that of the app makes one. @throws what the app's `authorize` does */
export function authorize(call: Call): Promise<void> | undefined {
  if (call.context.app.authorize === undefined) return undefined
  return step('authorize', decide, call) ?? undefined
}

function decide(call: Call): Promise<void> | void {
  const { context } = call
  return runInContext(context, context.app.authorize as Authorize, call, undefined)
}

function work<T>(call: Call, answer: Answer<T>, slot: CacheSlot | undefined): T | Promise<T> {
  if (call.task) return enqueueCall(call, call.task).then((task) => answer.data(task, call))
  if (slot) return look(call, answer, slot)
  const value = performed(call)
  return isThenable(value) || isSeen('check')
    ? finish(call, answer, value)
    : answer.data(answer.check(value, call), call)
}

async function look<T>(call: Call, answer: Answer<T>, slot: CacheSlot): Promise<T> {
  const look = (call: Call) => cachedResult(slot, call, call.mode === 'refresh')
  return answer.text(await step('cache', look, call), call)
}

async function finish<T>(call: Call, answer: Answer<T>, outcome: unknown): Promise<T> {
  const value = await outcome
  const check = (call: Call) => answer.check(value, call)
  return answer.data(isSeen('check') ? await step('check', check, call) : check(call), call)
}

/** Also a reply: to wait for it is to wait until it has been sent. */
function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

function slotOf({ resource, name, input, context, mode, task }: Call): CacheSlot | undefined {
  if (mode === 'cacheless' || task || !resource.definition.cache) return undefined
  // It is cached where it is performed: with one Redis for both the two would wait for one another.
  if (context.app.elsewhere?.has(resource)) return undefined
  return cacheSlot(resource, name, input, context)
}
