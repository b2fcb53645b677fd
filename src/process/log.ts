import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { isMainThread } from 'node:worker_threads'
import type { FastifyBaseLogger, FastifyServerOptions } from 'fastify'
import type { destination, Logger, LoggerOptions } from 'pino'
import { atSources } from './source-lines.ts'

/** How a service logs to stdout: a JSON object a line; pretty on a terminal, by pino-pretty; with `silent` there is no logger at all. */
export async function loggerOptions(
  name: string,
  config: LogConfig & { LOG_LEVEL: string },
): Promise<FastifyServerOptions['logger']> {
  const { LOG_LEVEL: level } = config
  if (level === 'silent') return false
  // Where it is not installed a terminal shows the same lines as a file.
  const pretty = process.stdout.isTTY && (await import('pino-pretty').catch(() => undefined))
  const format = await logFormat(name, config)
  if (!pretty) {
    const stream = await lineWriter()
    return { ...format, level, ...(stream && { stream }) }
  }
  const { serializers } = format
  return { level, serializers, stream: pretty.default({ sync: true, ignore: 'pid,hostname,name' }) }
}

type Out = ReturnType<typeof destination>

/** Milliseconds for which lines are gathered. */
const GATHER = 10

/** Writes a line at once, and those that come soon after it together: under load a write costs more than its line. */
class LineWriter {
  readonly #out: Out
  #rest = ''
  #isGathering = false

  constructor(out: Out) {
    this.#out = out
    // Before `out` writes what it has.
    process.prependListener('exit', () => this.#passOn())
  }

  write(line: string): void {
    if (this.#isGathering) this.#rest += line
    else {
      this.#isGathering = true
      // It keeps the process: what it ends with is written.
      setTimeout(this.#stop, GATHER)
      this.#out.write(line)
    }
  }

  readonly #stop = () => {
    this.#isGathering = false
    this.#passOn()
  }

  #passOn(): void {
    const rest = this.#rest
    this.#rest = ''
    if (rest !== '') this.#out.write(rest)
  }

  /** What writes, with all lines until now. */
  passAll(): Out {
    this.#passOn()
    return this.#out
  }

  flushSync(): void {
    this.passAll().flushSync()
  }
}

let writer: LineWriter | undefined

/**
 * What writes to stdout, one for the process; `undefined` where somebody has put something else in its place, and in a thread, which may end
 * without having written what it has gathered.
 */
async function lineWriter(): Promise<LineWriter | undefined> {
  const { stdout } = process
  if (!isMainThread || stdout.write !== Object.getPrototypeOf(stdout).write) return undefined
  const { destination } = await import('pino')
  writer ??= new LineWriter(destination({ dest: stdout.fd ?? 1, sync: false }))
  return writer
}

/** A logger like that of a service, for a process that has no app: what is wrong with its variables is told by one that has. */
export async function createLogger(name: string, env: NodeJS.ProcessEnv): Promise<Logger> {
  const { levels, pino } = await import('pino')
  const { LOG_LEVEL = 'info' } = env
  const level = LOG_LEVEL === 'silent' || LOG_LEVEL in levels.values ? LOG_LEVEL : 'info'
  const found = (await loggerOptions(name, { ...env, LOG_LEVEL: level })) || { level }
  const { stream, ...options } = found as LoggerOptions & { stream?: Writable | LineWriter }
  return stream ? pino(options, stream) : pino(options)
}

/** What of the configuration says how log lines look. */
export interface LogConfig {
  LOG_FORMAT?: string | undefined
  BKPAAS_APP_ID?: string | undefined
  BKPAAS_APP_MODULE_NAME?: string | undefined
  BKPAAS_ENVIRONMENT?: string | undefined
}

/** How a log line looks: the service, the level by its name, the time as ISO 8601; or as in BlueKing's kits. */
export async function logFormat(name: string, config: LogConfig) {
  const { stdSerializers } = await import('pino')
  const err = (error: Error): LoggedError => {
    const told: LoggedError = stdSerializers.err(error)
    // Anything may be thrown.
    if (typeof told?.stack === 'string') told.stack = atSources(told.stack)
    return told
  }
  const serializers = { err }
  if (config.LOG_FORMAT === 'bk') return { ...bluekingFormat(name, config, err), serializers }
  return { name, timestamp: isoTime, formatters: { level: levelName }, serializers }
}

/** What Python calls them. */
const LEVELS: Readonly<Record<string, string>> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
}

function bluekingFormat(logger: string, config: LogConfig, tell: (error: Error) => LoggedError) {
  return {
    base: {
      logger,
      process: process.pid,
      bk_app_code: config.BKPAAS_APP_ID,
      bk_app_module: config.BKPAAS_APP_MODULE_NAME,
      bk_run_mode: config.BKPAAS_ENVIRONMENT,
    },
    messageKey: 'message',
    timestamp: () => `,"asctime":"${now().slice(0, -1).replace('T', ' ').replace('.', ',')}"`,
    formatters: {
      level: (level: string) => ({ levelname: LEVELS[level] ?? level }),
      log({ user, err, ...line }: Record<string, unknown>): Record<string, unknown> {
        const exc_info = err instanceof Error ? tell(err).stack : err
        return {
          ...line,
          ...(user !== undefined && { username: user }),
          ...(err !== undefined && { exc_info }),
        }
      },
    },
  }
}

/** An error as a line of the log has it. */
interface LoggedError {
  [key: string]: unknown
  type: string
  message: string
  stack: string
}

/**
 * Waits until what `log` was told is written, at most for three seconds: its reader may be gone. The lines are written
 * by a thread; when a process exits, those that wait for it are written by the main thread, before the ones that it has
 * in hand.
 */
export async function logWritten(log: FastifyBaseLogger): Promise<void> {
  // There is no logger at all.
  if (!('bindings' in log)) return
  const { symbols } = await import('pino')
  const { [symbols.streamSym]: given } = log as {
    [symbols.streamSym]?: LineWriter | Out | Writable
  }
  const stream = given instanceof LineWriter ? given.passAll() : given
  // On a terminal the main thread writes.
  if (!stream || !('flushSync' in stream)) return
  const drained = once(stream, 'drain', { signal: AbortSignal.timeout(3000) })
  // It says nothing when it has nothing to write.
  stream.write('')
  await drained.catch(() => {})
}

let lastMs = 0
let lastTime = ''

/** As ISO 8601. Under load many lines are of one millisecond, and to write a time is a fifth of what a line costs. */
function now(): string {
  const ms = Date.now()
  if (ms !== lastMs) {
    lastMs = ms
    lastTime = new Date(ms).toISOString()
  }
  return lastTime
}

function isoTime(): string {
  return `,"time":"${now()}"`
}

function levelName(level: string): { level: string } {
  return { level }
}
