import type {
  FastifyInstance,
  FastifyRequest,
  onRequestHookHandler,
  onSendHookHandler,
} from 'fastify'
import { isInTransaction, outsideTransactions } from '../database/current-transaction.ts'
import { LONGEST_TIMER } from '../deadlines.ts'
import { Context, runInContext } from '../resource/context.ts'
import { createDeadlines, Deadline } from './deadline.ts'

const WORK = Symbol('plinth.work')

/** What is under way for a request. */
interface Work {
  readonly context: Context
  readonly deadline: Deadline
}

type Marked = FastifyRequest & { [WORK]: Work | null }

/**
 * Gives every request of `app` a context, from its first hook until its answer is sent: hooks, routes and error handlers,
 * and the resources that they call, see its user, id and signal. Where that is so already, nothing happens.
 */
export function giveContext(app: FastifyInstance): void {
  if (app.hasRequestDecorator(WORK)) return
  app.decorateRequest(WORK, null)
  app.addHook('onRequest', function beginContext(request, reply, done) {
    const deadline = new Deadline(reply)
    const context = new Context(this, request, reply, deadline)
    ;(request as Marked)[WORK] = { context, deadline }
    // Where a server began to listen, or a request is injected, within one: a request is work of its own.
    if (isInTransaction()) outsideTransactions(() => enter(context, done))
    else enter(context, done)
  })
  // What reads a body goes on outside of it, and so does what has failed there.
  app.addHook('preValidation', (request, _reply, done) => {
    enter(contextOf(request), done)
  })
  app.addHook('onError', (request, _reply, _error, done) => {
    enter(contextOf(request), done)
  })
  app.addHook('onSend', endDeadline)
}

function enter(context: Context, done: () => void): void {
  runInContext(context, done, undefined, undefined)
}

/** The context of a request of an app that gives one. */
export function contextOf(request: FastifyRequest): Context {
  return ((request as Marked)[WORK] as Work).context
}

/** Milliseconds that a client waits at most, as it says: another service, which has a deadline of its own. */
export const TIMEOUT_HEADER = 'x-timeout-ms'

/** Makes the hook that sets the deadline of a request to `timeout` ms since it began, or less where its client waits less; 0: none. */
export function setDeadline(timeout: number): onRequestHookHandler {
  const deadlines = createDeadlines(timeout === 0 ? LONGEST_TIMER : timeout)
  return function startDeadline(request, _reply, done) {
    const wanted = readTimeout(request.headers[TIMEOUT_HEADER])
    const isBounded = timeout > 0 || wanted !== undefined
    ;(request as Marked)[WORK]?.deadline.set(isBounded ? deadlines : undefined, wanted)
    done()
  }
}

/** `undefined` where it says nothing, or no number of milliseconds. */
function readTimeout(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^[1-9]\d{0,8}$/.test(header) ? Number(header) : undefined
}

/** The hook that ends it: from now on the answer is under way. */
const endDeadline: onSendHookHandler = (request, _reply, _payload, done) => {
  ;(request as Marked)[WORK]?.deadline.end()
  done()
}
