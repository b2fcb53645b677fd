import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { Static, TObject } from 'typebox'
import { type DefaultValues, type EnvironmentDefaults, mapEnvironments } from './config/defaults.ts'
import type { Model } from './database/model/model.ts'
import { errors, type PlinthError } from './errors.ts'
import { envelopes } from './http/envelope.ts'
import { assertNameFree, type ReadinessCheck, readinessOf } from './process/readiness.ts'
import type { Module, ModuleTable } from './resource/module.ts'

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
  flag: { words: 'true or false', fits: (value: unknown) => typeof value === 'boolean' },
  function: { words: 'a function', fits: (value: unknown) => typeof value === 'function' },
  object: { words: 'an object', fits: isObject },
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

type Kind = keyof typeof KINDS

/** What each option of a plugin has to be; with `?` it may be left out. */
type Expected<Options> = {
  [Name in keyof Options]-?: Record<never, never> extends Pick<Options, Name> ? `${Kind}?` : Kind
}

/**
 * Looks at the options of a plugin before it begins: types are not there for everybody.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, with no value that may be secret
 */
export function checkOptions<Options extends object>(
  plugin: string,
  options: Options,
  expected: Expected<Options>,
): void {
  for (const [name, wanted] of Object.entries<string>(expected)) {
    const value = (options as Record<string, unknown>)[name]
    if (value === undefined && wanted.endsWith('?')) continue
    const { words, fits } = KINDS[wanted.replace('?', '') as Kind]
    if (!fits(value)) throw invalidOption(plugin, name, value, words)
  }
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

/** Without parameters, and without a slash at its end. */
function isPath(value: unknown): boolean {
  return typeof value === 'string' && /^(\/[\w.~-]+)+$/.test(value)
}

function isOwner(value: unknown): boolean {
  return isObject(value) && isObject(value.schema) && isObject(value.schema.properties)
}

/**
 * Marks a context as one that has the plugin. Contexts around it may have it, too.
 *
 * @param decorator what the plugin adds, which the context may have from elsewhere
 * @throws {PlinthError} PLUGIN_TWICE
 */
export function assertOnce(app: FastifyInstance, plugin: string, decorator?: string): void {
  const label = `plinth/plugins/${plugin}`
  if (decorator !== undefined && Object.hasOwn(app, decorator)) throw errors.PLUGIN_TWICE(label)
  mark(app, label)
}

function mark(app: FastifyInstance, label: string): void {
  const key = Symbol.for(label)
  if (Object.hasOwn(app, key)) throw errors.PLUGIN_TWICE(label)
  app.decorate(key, true)
}

/**
 * Refuses to start where a plugin comes later whose decorator this one has not found.
 *
 * @throws {PlinthError} PLUGIN_ORDER, when the app gets ready
 */
export function assertOrder(
  app: FastifyInstance,
  plugin: string,
  later: { plugin: string; decorator: string },
): void {
  if (app.hasDecorator(later.decorator)) return
  app.addHook('onReady', async () => {
    if (app.hasDecorator(later.decorator))
      throw errors.PLUGIN_ORDER(plugin, later.plugin, later.plugin)
  })
}

/**
 * Asks for packages that the kit does not bring, before they are needed.
 *
 * @throws {PlinthError} PACKAGE_MISSING
 */
export function requirePackages(plugin: string, ...names: readonly string[]): void {
  const missing = names.filter((name) => !isInstalled(name))
  if (missing.length > 0) throw errors.PACKAGE_MISSING(plugin, missing.join(' '))
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name)
    return true
  } catch {
    return false
  }
}

/** What a function of a plugin is given beside the app. */
export interface PluginContext<Env = unknown> {
  /** Of the plugin, or the one that this use of it has: what it decorates, its keys and metrics begin with that. */
  readonly name: string
  /** Its variables, validated; another use of it has its own, under the same names here. */
  readonly env: Readonly<Env>
  /** What this use of it was given; `register` has them with their types. */
  readonly options: object
}

/** A readiness check; `optional`: the process can serve without what it looks at, too. */
export type PluginReadiness<Context> =
  | ((app: FastifyInstance, signal: AbortSignal, context: Context) => Promise<void>)
  | {
      readonly check: (app: FastifyInstance, signal: AbortSignal, context: Context) => Promise<void>
      readonly optional?: boolean
    }

/** What `manage check` has found. */
export interface PluginFinding {
  readonly level: 'ok' | 'warning' | 'error'
  readonly message: string
}

/** Looks at what has to be right before the service runs; changes nothing. The app is ready, and does not listen. */
export type PluginCheck<Context = PluginContext> = (
  app: FastifyInstance,
  context: Context,
) => readonly PluginFinding[] | Promise<readonly PluginFinding[]>

/** A number of one process that is told when it is asked for. */
export interface PluginMetric<Context = PluginContext> {
  /** Behind the plugin's name and `_`: `sent_total` is `sms_sent_total`. */
  readonly name: string
  readonly help: string
  /** `counter`: it only grows. */
  readonly type: 'counter' | 'gauge'
  /** Its value now, or one for each set of labels. */
  readonly collect: (app: FastifyInstance, context: Context) => MetricValue | Promise<MetricValue>
}

type MetricValue =
  | number
  | readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]

/** All that a plugin brings. Only `name` is needed. */
export interface PluginDefinition<
  Env extends TObject = TObject,
  Options extends object = object,
  Context = PluginContext<Static<Env>>,
> {
  /** Lower case words joined by `-`; unique in a service. */
  readonly name: string
  /** The variables of the environment that it reads, validated together with those of the service. */
  readonly env?: Env
  /** What they are where nothing sets them, by environment: `dev`, `stag` and `prod`; a service may say others. */
  readonly defaults?: EnvironmentDefaults<Partial<Static<Env>> & DefaultValues>
  /** Plugins, by name, that have to be there, and come before it: those of the kit, or others. */
  readonly needs?: readonly string[]
  /** Plugins, by name, that come before it where they are there. */
  readonly after?: readonly string[]
  /** Its tables, beside those of the service. */
  readonly models?: readonly Model[]
  /** The folder of its migrations, which run before those of the service: `new URL('./migrations/', import.meta.url)`. */
  readonly migrations?: URL
  /** The folder of its seeds, which run before those of the service. */
  readonly seeds?: URL
  /** What it serves, by name, or makes of what a use of it is given. */
  readonly modules?: ModuleTable | ((use: Omit<PluginContext, 'env'>) => ModuleTable)
  /** The folder of its commands: `send.ts` is `manage send`, `sms/send.ts` is `manage sms send`. */
  readonly commands?: URL
  /** What `/readyz` asks, by name. */
  readonly readiness?: Readonly<Record<string, PluginReadiness<Context>>>
  /** What `manage check` looks at. */
  readonly checks?: readonly PluginCheck<Context>[]
  readonly metrics?: readonly PluginMetric<Context>[]
  /** Adds what it has to the app, as any Fastify plugin does; what it throws keeps the app from starting. */
  register?(app: FastifyInstance, options: Options, context: Context): void | Promise<void>
}

/** What every use of a plugin may say beside the options of its own. */
export interface PluginUse {
  /** Default: the plugin's. Another use of it needs another, which then begins its variables: `ALERTS_SMS_URL`. */
  name?: string
  /** Moves what it serves, or says other things of it, by name; `false`: it is left out. Default: as the plugin says. */
  modules?: false | Readonly<Record<string, false | Omit<Module, 'resources' | 'modules'>>>
}

/** A plugin by `definePlugin`: called with options it is one use of it, and Fastify registers it as it is. */
export interface Plugin<Options extends object> {
  (
    ...options: Record<never, never> extends Options
      ? [options?: Options & PluginUse]
      : [options: Options & PluginUse]
  ): FastifyPluginAsync
  (app: FastifyInstance, options: Options & PluginUse): Promise<void>
  readonly definition: PluginDefinition
}

/** One use of a plugin. */
export interface PluginInstance {
  readonly definition: PluginDefinition
  readonly name: string
  readonly options: object
  readonly modules: PluginUse['modules']
}

const INSTANCE = Symbol.for('plinth.plugin')

/**
 * Defines a plugin. What it is called with in `plugins` of a service is one use of it; in a Fastify app that knows nothing
 * else of Plinth, `app.register(sms, options)` reads its variables from `process.env`.
 *
 * @throws {PlinthError} PLUGIN_INVALID
 */
export function definePlugin<
  Env extends TObject = TObject<Record<never, never>>,
  Options extends object = Record<never, never>,
>(definition: PluginDefinition<Env, Options>): Plugin<Options> {
  const known = definition as unknown as PluginDefinition
  assertDefinition(known)
  function plugin(...args: readonly unknown[]): unknown {
    // Fastify puts the app before them.
    if (args.length < 2) return createUse(known, args[0] as PluginUse | undefined)
    const [app, options] = args as [FastifyInstance, PluginUse | undefined]
    return attachAlone(app, createInstance(known, options))
  }
  const made = fp(plugin as FastifyPluginAsync, { name: known.name, fastify: '5.x' })
  return Object.assign(made, {
    definition: known,
    [INSTANCE]: createInstance(known),
  }) as unknown as Plugin<Options>
}

function createUse(definition: PluginDefinition, options?: PluginUse): FastifyPluginAsync {
  const instance = createInstance(definition, options)
  const use: FastifyPluginAsync = (app) => attachAlone(app, instance)
  return Object.assign(fp(use, { name: instance.name, fastify: '5.x' }), { [INSTANCE]: instance })
}

function createInstance(definition: PluginDefinition, given: PluginUse = {}): PluginInstance {
  const { name = definition.name, modules, ...options } = given
  assertPluginName(name, definition.name)
  return { definition, name, options, modules }
}

/** The use of a plugin that a Fastify plugin is, where `definePlugin` made it. */
export function instanceOf(plugin: unknown): PluginInstance | undefined {
  return (plugin as { [INSTANCE]?: PluginInstance })[INSTANCE]
}

const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/

function assertPluginName(name: unknown, plugin: string): void {
  if (typeof name !== 'string' || !NAME.test(name))
    throw errors.PLUGIN_INVALID(
      plugin,
      `its name is ${JSON.stringify(name)}, expected lower case words joined by -`,
    )
}

function assertDefinition(definition: PluginDefinition): void {
  const { name, migrations, seeds, commands } = definition
  assertPluginName(name, String(name))
  for (const [key, url] of Object.entries({ migrations, seeds, commands })) {
    if (url !== undefined && !(url instanceof URL && url.protocol === 'file:'))
      throw errors.PLUGIN_INVALID(
        name,
        `its ${key} is no URL of a folder; write new URL('./${key}/', import.meta.url)`,
      )
  }
}

/** The variables of one use of a plugin, as the environment has them: those of another name begin with it. */
export function variablesOf({ definition, name }: PluginInstance): TObject | undefined {
  const { env } = definition
  if (!env) return undefined
  const named = (variable: string) => prefixOf(definition, name) + variable
  const properties = Object.fromEntries(
    Object.entries(env.properties).map(([variable, schema]) => [named(variable), schema]),
  )
  return { ...env, properties, required: (env.required ?? []).map(named) } as TObject
}

/** The defaults of its variables in an environment. */
export function defaultsOf(
  { definition, name }: PluginInstance,
  environment: keyof EnvironmentDefaults,
): DefaultValues {
  const prefix = prefixOf(definition, name)
  const values = Object.entries<DefaultValues[string]>(definition.defaults?.[environment] ?? {})
  return Object.fromEntries(values.map(([variable, value]) => [prefix + variable, value]))
}

function prefixOf(definition: PluginDefinition, name: string): string {
  return name === definition.name ? '' : `${name.toUpperCase().replaceAll('-', '_')}_`
}

/** What all plugins of an app bring that is asked later: the same in all of its contexts. */
interface Brought {
  readonly checks: { readonly name: string; readonly check: AppCheck }[]
  readonly metrics: (() => Promise<Measured>)[]
}

/** @param of in which mode the service runs */
type AppCheck = (of: {
  readonly production: boolean
}) => readonly PluginFinding[] | Promise<readonly PluginFinding[]>

const apps = new WeakMap<object, Brought>()

function broughtTo({ server }: FastifyInstance): Brought {
  const brought = apps.get(server) ?? { checks: [], metrics: [] }
  apps.set(server, brought)
  return brought
}

/** Has `manage check` look at something, under a name. */
export function addCheck(app: FastifyInstance, name: string, check: AppCheck): void {
  broughtTo(app).checks.push({ name, check })
}

/** What `manage check` finds by the plugins of an app, which is ready. */
export async function runChecks(
  app: FastifyInstance,
  of: { readonly production: boolean },
): Promise<(PluginFinding & { readonly check: string })[]> {
  const found: (PluginFinding & { readonly check: string })[] = []
  // One after the other: what one of them loads must not make the others late.
  for (const { name, check } of broughtTo(app).checks)
    for (const finding of await check(of)) found.push({ check: name, ...finding })
  return found
}

/** Attaches one use of a plugin in an app that has read no configuration for it. */
async function attachAlone(app: FastifyInstance, instance: PluginInstance): Promise<void> {
  const schema = variablesOf(instance)
  if (!schema) return await attachPlugin(app, instance, {})
  const { readConfig } = await import('./config/read.ts')
  const { values } = readConfig<Record<string, unknown>>([{ owner: instance.name, schema }], {
    dotenv: false,
    defaults: mapEnvironments((environment) => defaultsOf(instance, environment)),
  })
  await attachPlugin(app, instance, values)
}

/**
 * Attaches one use of a plugin.
 *
 * @param values of the environment, validated
 * @throws {PlinthError} PLUGIN_MISSING, PLUGIN_TWICE, PLUGIN_NAME_TAKEN, and what it throws itself
 */
export async function attachPlugin(
  app: FastifyInstance,
  instance: PluginInstance,
  values: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { definition, name, options } = instance
  const { needs = [], readiness = {} } = definition
  for (const need of needs) {
    if (!app.hasPlugin(need) && !app.hasPlugin(`plinth-${need}`))
      throw errors.PLUGIN_MISSING(name, need, 'register it first')
  }
  const named = (key: string) => nameWithin(instance, key)
  for (const key of Object.keys(readiness))
    assertNameFree(app, `the plugin ${definition.name}`, named(key))
  mark(app, `the plugin ${name}`)
  const prefix = prefixOf(definition, name)
  const env = Object.fromEntries(
    Object.keys(definition.env?.properties ?? {}).map((key) => [key, values[prefix + key]]),
  )
  const context: PluginContext = { name, env, options }
  await definition.register?.(app, options, context)
  for (const [key, given] of Object.entries(readiness)) {
    const { check, optional = false } = typeof given === 'function' ? { check: given } : given
    const run: ReadinessCheck = (signal) => check(app, signal, context)
    readinessOf(app).set(named(key), optional ? Object.assign(run, { optional }) : run)
  }
  const { checks = [], metrics = [] } = definition
  for (const check of checks) addCheck(app, name, () => check(app, context))
  for (const metric of metrics) broughtTo(app).metrics.push(() => measure(app, metric, context))
}

/** What the plugin calls by its own name has that of the use; other things stand below it, unless the use has that name. */
function nameWithin({ definition, name }: PluginInstance, key: string): string {
  if (name === definition.name) return key
  return key === definition.name ? name : `${name}.${key}`
}

/** A metric of one use of a plugin, and what it is now. */
export interface Measured extends Pick<PluginMetric, 'help' | 'type'> {
  /** `sms_sent_total` */
  readonly name: string
  readonly values: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly value: number
  }[]
}

/** The metrics of all plugins of an app, asked at once. */
export function measurePlugins(app: FastifyInstance): Promise<Measured[]> {
  return Promise.all(broughtTo(app).metrics.map((measure) => measure()))
}

async function measure(
  app: FastifyInstance,
  { name, help, type, collect }: PluginMetric,
  context: PluginContext,
): Promise<Measured> {
  const value = await collect(app, context)
  const values = typeof value === 'number' ? [{ labels: {}, value }] : value
  return { name: `${context.name.replaceAll('-', '_')}_${name}`, help, type, values }
}

/** The modules that one use of a plugin adds to a service. */
export function modulesOfPlugin(instance: PluginInstance): ModuleTable {
  const { definition, name, options, modules: moved = {} } = instance
  const { modules = {} } = definition
  if (moved === false) return {}
  const table = typeof modules === 'function' ? modules({ name, options }) : modules
  const placed = Object.entries(table).flatMap(([key, module]) => {
    const place = moved[key]
    return place === false ? [] : [[key, { ...module, ...place }] as const]
  })
  if (placed.length === 0) return {}
  if (name === definition.name) return Object.fromEntries(placed)
  return { [name]: { prefix: `/${name}`, modules: Object.fromEntries(placed) } }
}

/** Something that comes before or behind others. */
export interface Placed {
  readonly name: string
  readonly needs?: readonly string[]
  readonly after?: readonly string[]
}

/**
 * Sorts by what each needs and comes after; as they are given where that leaves a choice.
 *
 * @param howTo what to do where one is missing, by its name
 * @throws {PlinthError} PLUGIN_MISSING, PLUGIN_CIRCLE
 */
export function inOrder<T extends Placed>(
  given: readonly T[],
  howTo: (need: string) => string = () => 'add it to plugins',
): T[] {
  const names = new Set(given.map(({ name }) => name))
  for (const { name, needs = [] } of given) {
    const missing = needs.find((need) => !names.has(need))
    if (missing) throw errors.PLUGIN_MISSING(name, missing, howTo(missing))
  }
  const rest = [...given]
  const placed: T[] = []
  while (rest.length > 0) {
    const free = rest.findIndex(({ needs = [], after = [] }) =>
      rest.every(({ name }) => !needs.includes(name) && !after.includes(name)),
    )
    if (free === -1) throw errors.PLUGIN_CIRCLE(rest.map(({ name }) => name).join(', '))
    placed.push(...rest.splice(free, 1))
  }
  return placed
}
