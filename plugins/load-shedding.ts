import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { milliseconds } from '../src/config/schema.ts'
import type { Duration } from '../src/duration.ts'
import { errors } from '../src/errors.ts'
import { RETRY_AFTER } from '../src/http/error-handler.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { assertFree, checkOptions } from '../src/plugin-guards.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * What has plinth/plugins/load-shedding refuse requests, by what its log calls it: a number that is asked for every 100 ms,
     * too much where it is over 1. Requests are served again when it has been under a half for a second.
     */
    pressures: Map<string, () => number>
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  LOAD_SHEDDING: Type.Boolean({
    description: 'Refuse requests while the process is late, or its database is long waited for.',
    derived: 'true in production, otherwise false',
  }),
  MAX_EVENT_LOOP_DELAY: milliseconds(
    'How late the event loop may be before requests are refused, in ms.',
    1000,
  ),
})
type Env = Static<typeof env>

export interface LoadSheddingOptions {
  /** How late the event loop may be: milliseconds, or a text like `'2s'`; default 1000. */
  maxEventLoopDelay?: Duration
}

/** Milliseconds between two looks at the clock. */
const INTERVAL = 100

/** One late moment is something that took long. Another within so many milliseconds is load. */
const AGAIN = 5000

/** Milliseconds without any pressure, after which requests are served again. */
const CALM = 1000

/** What ends a pressure is less than what begins it. */
const ENOUGH = 0.5

/**
 * Answers new requests with 503 OVERLOADED and `Retry-After` while the event loop is late again and again, or any of
 * `app.pressures` is too high; what has begun is finished. Health routes and the API document are served. Register it after what
 * logs requests, before what costs time, and before databases. It measures while the app listens.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
function register(app: FastifyInstance, options: LoadSheddingOptions): void {
  const read = checkOptions<LoadSheddingOptions>('load-shedding', options, {
    maxEventLoopDelay: 'time?',
  })
  assertFree(app, 'load-shedding', 'pressures')
  const { maxEventLoopDelay: limit = 1000 } = read
  const pressures = new Map<string, () => number>()
  app.decorate('pressures', pressures)
  // One for all: its stack tells nobody anything.
  const refusal = errors.OVERLOADED()
  let isOverloaded = false
  app.addHook('onRequest', function shedLoad(request, reply, done) {
    if (!isOverloaded) return done()
    const { kit } = request.routeOptions.config
    if (kit === 'health' || kit === 'docs' || kit === 'metrics') return done()
    reply.header('retry-after', RETRY_AFTER)
    done(refusal)
  })

  let looked = 0
  let late = Number.NEGATIVE_INFINITY
  let pressed = 0
  const look = () => {
    const now = performance.now()
    const bound = isOverloaded ? ENOUGH : 1
    let why: string | undefined
    if (now - looked - INTERVAL > limit * bound) {
      // From the end of one to the beginning of the other.
      if (isOverloaded || looked - late < AGAIN) why = 'the event loop is late'
      late = now
    } else {
      // Where the loop is late itself, answers that have come are waited for, too.
      for (const [name, measure] of pressures) if (measure() > bound) why = name
    }
    looked = now
    if (why) pressed = now
    if (why && !isOverloaded) {
      isOverloaded = true
      app.log.warn(`requests are refused: ${why}`)
    } else if (isOverloaded && now - pressed > CALM) {
      isOverloaded = false
      app.log.info('requests are served again')
    }
  }
  let timer: NodeJS.Timeout | undefined
  app.addHook('onListen', (done) => {
    looked = performance.now()
    timer ??= setInterval(look, INTERVAL).unref()
    done()
  })
  app.addHook('onClose', async () => clearInterval(timer))
}

export default definePlugin({
  name: 'load-shedding',
  env,
  // A refusal is logged, told in the client's language, and can be read by pages of other origins.
  after: ['request-log', 'languages', 'envelope', 'cors', 'security-headers'],
  decorators: ['pressures'],
  options: ({ env, named }: PluginGiven<Env>): LoadSheddingOptions | string =>
    env.LOAD_SHEDDING
      ? { maxEventLoopDelay: env.MAX_EVENT_LOOP_DELAY }
      : `set ${named('LOAD_SHEDDING')}=true`,
  register,
})
