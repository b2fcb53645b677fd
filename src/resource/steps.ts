import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import type { EnqueueOptions } from '../task/types.ts'
import { watchers } from '../trace.ts'
import type { Access } from './access.ts'
import type { CacheMode } from './cache-policy.ts'
import { isLogged, logCall } from './call-log.ts'
import { type Context, runInContext } from './context.ts'
import type { AnyDefined, CallLog } from './contract.ts'

/** A call of a resource, whichever way it has come. */
export interface Call {
  readonly resource: AnyDefined
  /** Full name, `cities.retrieve`. */
  readonly name: string
  /** Valid. */
  readonly input: unknown
  /** For whom it is, and until when. */
  readonly context: Context
  readonly mode: CacheMode
  /** Who may make it, where that is not what is decided of the resource: of a route. */
  readonly access?: Access | undefined
  /** How it is enqueued, where it is not performed here and now. */
  readonly task?: EnqueueOptions | undefined
}

/** What subscribers of the channels get: one object for the start, the end and the error of a step. */
export interface StepMessage {
  call: Call
  /** What the step came to. */
  result?: unknown
  error?: unknown
}

type Channel = TracingChannel<unknown, StepMessage>

const channel = (name: string): Channel => tracingChannel(`plinth:${name}`)

/**
 * The tracing channels of a call (`node:diagnostics_channel`): `plinth:call` is all of it, the others are its steps, in
 * the order in which they are taken. One without a subscriber costs nothing.
 */
export const channels = {
  call: channel('call'),
  authorize: channel('authorize'),
  precondition: channel('precondition'),
  cache: channel('cache'),
  perform: channel('perform'),
  check: channel('check'),
} as const

export type StepName = keyof typeof channels

/** Looks on while steps are taken, at less cost than a channel. Nothing of it may throw. */
export interface Watcher {
  /** Does `work`, which is that step of `call`. */
  within<T>(step: StepName, work: (call: Call) => T | Promise<T>, call: Call): T | Promise<T>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Asked only while it is among `watchers`, or another one is. */
    watcher?: Watcher
  }
}

/** Whether somebody looks on, or listens to the channel of the step. */
export function isSeen(name: StepName): boolean {
  return watchers.size > 0 || channels[name].hasSubscribers
}

/** Takes a step of `call`; where somebody listens, it is told. */
export function step<T>(
  name: StepName,
  work: (call: Call) => T | Promise<T>,
  call: Call,
): T | Promise<T> {
  const channel = channels[name]
  const told = channel.hasSubscribers
    ? (call: Call) => channel.tracePromise(async () => await work(call), { call })
    : work
  const watcher = watchers.size > 0 ? call.context.app.watcher : undefined
  return watcher ? watcher.within(name, told, call) : told(call)
}

/** Takes the step *perform*: the business logic, in the context of its call. */
export function performed(call: Call): unknown {
  const { log } = call.resource.definition
  if (!log || !isLogged(log === true ? {} : log)) return step('perform', perform, call)
  return performLogged(call, log === true ? {} : log)
}

async function performLogged(call: Call, log: CallLog): Promise<unknown> {
  const began = performance.now()
  const tell = (outcome: { result: unknown } | { error: unknown }) =>
    logCall({ ...call, took: performance.now() - began, outcome }, log)
  let result: unknown
  try {
    result = await step('perform', perform, call)
  } catch (error) {
    tell({ error })
    throw error
  }
  tell({ result })
  return result
}

function perform({ resource, input, context, mode }: Call): unknown {
  const elsewhere = context.app.elsewhere?.get(resource)
  if (elsewhere) return elsewhere.perform(input, context, mode)
  return runInContext(context, resource.definition.perform, input, context)
}
