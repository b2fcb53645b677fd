import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Call } from './steps.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Told of what is done in this app; where there is none, nothing is measured. */
    observer?: Observer
  }
}

/** What came of a try of a task. */
export type TaskOutcome = 'succeeded' | 'failed' | 'tried again' | 'handed back'

/** A try of a task that has ended. Times are milliseconds. */
export interface Worked {
  readonly queue: string
  readonly resource: string
  readonly took: number
  /** Since it could run; of the first try alone. */
  readonly waited: number | undefined
}

/** Where something has failed that is not its caller's fault. */
export interface FailurePlace {
  /** The request that could not be answered. */
  readonly request?: FastifyRequest
  /** The task that has failed for good. */
  readonly task?: { readonly id: string; readonly resource: string; readonly attempt: number }
  readonly requestId: string
  readonly user?: string | undefined
}

/** Who measures what an app does. Nothing of it may throw. */
export interface Observer {
  /** A request has come. */
  asked?: (() => void) | undefined
  /** It has been answered with a status, or, `undefined`, its client has gone before. */
  answered?: ((reply: FastifyReply, status: number | undefined) => void) | undefined
  /** Does the work of a call within the trace that is under way. */
  traced?: (<T>(call: Call, work: () => T | Promise<T>) => T | Promise<T>) | undefined
  /** A call of a resource has ended, which began at `began` of `performance.now()`; `error` is `undefined` where it has succeeded. */
  called?: ((call: Call, began: number, error: unknown) => void) | undefined
  worked?: (try_: Worked, outcome: TaskOutcome) => void
  failed?: (error: unknown, place: FailurePlace) => void
}
