import type { FastifyInstance } from 'fastify'
import {
  type Duration,
  type DurationLimits,
  type InMilliseconds,
  readTime,
  SPAN,
  TIMER,
  timeInWords,
} from './duration.ts'
import { errors, type PlinthError } from './errors.ts'
import { envelopes } from './http/envelope.ts'

export { missingPackages, requirePackages } from './packages.ts'

/** What an option may have to be: in words, and how that is told. */
const KINDS = {
  text: { words: 'a text', fits: (value: unknown) => typeof value === 'string' && value !== '' },
  number: {
    words: 'a number of at least 0',
    fits: (value: unknown) => typeof value === 'number' && value >= 0,
  },
  count: {
    words: 'an integer of at least 1',
    fits: (value: unknown) => Number.isInteger(value) && (value as number) >= 1,
  },
  /** A time that passes by a timer; 0 has no end. */
  timer: timeKind({ ...TIMER, whole: false }),
  /** Any other time. */
  time: timeKind({ most: Number.POSITIVE_INFINITY }),
  /** A time of which there has to be some. */
  span: timeKind(SPAN),
  path: { words: "a path, '/jobs'", fits: isPath },
  route: {
    words: "a path, '/jobs', or false",
    fits: (value: unknown) => value === false || isPath(value),
  },
  list: { words: 'a list', fits: (value: unknown) => Array.isArray(value) },
  texts: {
    words: 'a list of texts',
    fits: (value: unknown) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
  },
  some: { words: 'a text, or a list of texts', fits: isSome },
  someOrNone: {
    words: 'a text, a list of texts, or false',
    fits: (value: unknown) => value === false || isSome(value),
  },
  flag: { words: 'true or false', fits: (value: unknown) => typeof value === 'boolean' },
  function: { words: 'a function', fits: (value: unknown) => typeof value === 'function' },
  object: { words: 'an object', fits: isObject },
  /** The plugin looks at it itself. */
  any: { words: 'anything', fits: () => true },
  objects: {
    words: 'an object, or a list of them',
    fits: (value: unknown) => [value].flat().every(isObject),
  },
  models: {
    words: 'a list of models that defineModel has made',
    fits: (value: unknown) =>
      Array.isArray(value) && value.every((one) => isObject(one) && 'table' in one),
  },
  owners: {
    words: 'a list of { owner, schema }, the schema by Type.Object',
    fits: (value: unknown) => Array.isArray(value) && value.every(isOwner),
  },
  dotenv: {
    words: 'a path or false',
    fits: (value: unknown) => typeof value === 'string' || value === false,
  },
  compat: {
    words: "bk, or { kind: 'bk', platform: '01', module: '02' }, two digits each",
    fits: (value: unknown) => value === 'bk' || isCompat(value),
  },
  envelope: {
    words: `${Object.keys(envelopes).join(' or ')}, or a value with success, failure and parse`,
    fits: (value: unknown) =>
      typeof value === 'string' ? Object.hasOwn(envelopes, value) : isEnvelope(value),
  },
} as const

function timeKind(limits: DurationLimits) {
  const read = (value: unknown) => readTime(value, limits)
  return { words: timeInWords(limits), fits: (value: unknown) => read(value) !== undefined, read }
}

type Kind = keyof typeof KINDS
type TimeKind = 'timer' | 'time' | 'span'

/** Whether an option is a time: then nothing but that may be said of it, as it would not be read. */
type KindOf<Value> = unknown extends Value
  ? Kind
  : [Duration] extends [Value]
    ? TimeKind
    : Exclude<Kind, TimeKind>

/** What each option of a plugin has to be; with `?` it may be left out. */
type Expected<Options> = {
  [Name in keyof Options]-?: Record<never, never> extends Pick<Options, Name>
    ? `${KindOf<Options[Name]>}?`
    : KindOf<Options[Name]>
}

/**
 * Looks at the options of a plugin before it begins: types are not there for everybody.
 *
 * @returns them, their times in milliseconds
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, with no value that may be secret
 */
export function checkOptions<Options extends object>(
  plugin: string,
  options: Options,
  expected: Expected<Options>,
): InMilliseconds<Options> {
  const read = { ...options } as Record<string, unknown>
  for (const [name, wanted] of Object.entries<string>(expected)) {
    const value = read[name]
    if (value === undefined && wanted.endsWith('?')) continue
    const kind = KINDS[wanted.replace('?', '') as Kind]
    if (!kind.fits(value)) throw invalidOption(plugin, name, value, kind.words)
    if ('read' in kind) read[name] = kind.read(value)
  }
  // A misspelt one would do nothing, without a word.
  const strange = Object.keys(options).find((name) => !Object.hasOwn(expected, name))
  if (strange !== undefined) {
    const known = `one of ${Object.keys(expected).join(', ')}`
    throw errors.PLUGIN_OPTION_INVALID(plugin, strange, 'not known', known)
  }
  return read as InMilliseconds<Options>
}

/** An error that says of an option what it is, in no more words than its type, and what it has to be. */
export function invalidOption(
  plugin: string,
  name: string,
  value: unknown,
  expected: string,
): PlinthError {
  return errors.PLUGIN_OPTION_INVALID(plugin, name, describe(value), expected)
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return `${value}`
  if (value === '') return 'empty'
  if (typeof value === 'string') return 'another text'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'function' ? 'a function' : 'an object'
}

function isEnvelope(value: unknown): boolean {
  const needed = ['success', 'successText', 'failure', 'parse', 'successSchema'] as const
  return isObject(value) && needed.every((name) => typeof value[name] === 'function')
}

function isCompat(value: unknown): boolean {
  if (!isObject(value)) return false
  const { kind, platform = '00', module = '00', ...others } = value
  const digits = [platform, module].every((one) => typeof one === 'string' && /^\d{2}$/.test(one))
  return kind === 'bk' && digits && Object.keys(others).length === 0
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSome(value: unknown): boolean {
  const all = [value].flat()
  return all.length > 0 && all.every((one) => typeof one === 'string' && one !== '')
}

/** Without parameters, and without a slash at its end. */
function isPath(value: unknown): boolean {
  return typeof value === 'string' && /^(\/[\w.~-]+)+$/.test(value)
}

function isOwner(value: unknown): boolean {
  return isObject(value) && isObject(value.schema) && isObject(value.schema.properties)
}

/**
 * Asserts of what a plugin decorates a context with that this has nothing of that name, from elsewhere, either. Contexts
 * around it may.
 *
 * @throws {PlinthError} PLUGIN_TWICE
 */
export function assertFree(app: FastifyInstance, name: string, decorator: string): void {
  if (Object.hasOwn(app, decorator)) throw errors.PLUGIN_TWICE(name)
}

/**
 * What the app has by a plugin that has to come before this one, where it comes at all.
 *
 * @throws {PlinthError} PLUGIN_ORDER, when the app gets ready, where it has come later
 */
export function fromEarlier<T>(
  app: FastifyInstance,
  plugin: string,
  earlier: { plugin: string; decorator: string },
): T | undefined {
  if (app.hasDecorator(earlier.decorator)) return app.getDecorator<T>(earlier.decorator)
  app.addHook('onReady', async () => {
    if (app.hasDecorator(earlier.decorator))
      throw errors.PLUGIN_ORDER(plugin, earlier.plugin, earlier.plugin)
  })
  return undefined
}

/** What of a client of Redis tells whether scripts can be used over it. */
interface AnyRedis {
  readonly isCluster?: boolean
  readonly options: { keyPrefix?: string | undefined }
}

/**
 * `app.redis`, by plinth/plugins/redis or an app's own, where what needs scripts can use it; or one of another name.
 *
 * @throws {PlinthError} REDIS_UNUSABLE; PLUGIN_ORDER as `fromEarlier`
 */
export function earlierRedis<T extends AnyRedis>(
  app: FastifyInstance,
  plugin: string,
  decorator = 'redis',
): T | undefined {
  const redis = fromEarlier<T>(app, plugin, { plugin: decorator, decorator })
  if (redis?.isCluster)
    throw errors.REDIS_UNUSABLE(
      plugin,
      `app.${decorator} is a client of a cluster; expected one Redis`,
    )
  if (redis?.options.keyPrefix) throw errors.REDIS_UNUSABLE(plugin, KEY_PREFIX)
  return redis
}

const KEY_PREFIX =
  'app.redis has a keyPrefix, of which scripts and BullMQ know nothing; leave it out, and say what names begin with by REDIS_PREFIX, or the option prefix'
