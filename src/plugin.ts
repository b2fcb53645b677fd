import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { TObject } from 'typebox'
import { type DefaultValues, type EnvironmentDefaults, mapEnvironments } from './config/defaults.ts'
import type { Config } from './config/read.ts'
import type { KitConfig } from './config/schema.ts'
import type { VariableSchema } from './config/secret.ts'
import type { Model } from './database/model/types.ts'
import type { ServiceDefinition } from './define-service.ts'
import { errors, type PlinthError } from './errors.ts'
import type { PluginFinding } from './findings.ts'
import { addMetric, type MetricValue } from './plugin-metrics.ts'
import { assertNameFree, type ReadinessCheck, readinessOf } from './process/readiness.ts'
import type { Module, ModuleTable } from './resource/module.ts'
import type { Value } from './schema/value.ts'

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

/**
 * Looks at what has to be right before the service runs, and, in production, at what is unwise there; changes nothing. The
 * app is ready, and does not listen.
 */
export type PluginCheck<Context = PluginContext> = (
  app: FastifyInstance,
  context: Context & { readonly production: boolean },
) => readonly PluginFinding[] | Promise<readonly PluginFinding[]>

/** A number of one process that is told when it is asked for. */
export interface PluginMetric<Context = PluginContext> {
  /** Behind the plugin's name and `_`: `sent_total` is `sms_sent_total`. */
  readonly name: string
  readonly help: string
  /** `counter`: it only grows. */
  readonly type: 'counter' | 'gauge'
  /** Whether all processes of the service tell the same: the greatest of theirs counts, not their sum. Default false. */
  readonly shared?: boolean
  /** Its value now, or one for each set of labels. */
  readonly collect: (app: FastifyInstance, context: Context) => MetricValue | Promise<MetricValue>
}

/** What the options of a plugin follow from in a service. */
export interface PluginGiven<Env = unknown> extends Omit<PluginContext<Env>, 'options'> {
  /** The whole configuration, validated: `values`, and where each comes from. */
  readonly read: Config<KitConfig>
  readonly service: ServiceDefinition
  /** The service's folder. */
  readonly root: string
  /** The file whose default export it is, where that is known. */
  readonly file?: string | undefined
  /** All modules and tables of the service: its own, and those of its plugins. */
  readonly modules: ModuleTable
  readonly models: readonly Model[]
  /** What a variable of it is called in the environment: one of a use of another name begins with that. */
  named(variable: string): string
  /** Whether a variable of it is what it is because nobody has set it. */
  isDefault(variable: string): boolean
}

/** All that a plugin brings. Only `name` is needed. */
export interface PluginDefinition<
  Env extends TObject = TObject,
  Options extends object = object,
  Context = PluginContext<Value<Env>>,
> {
  /** Lower case words joined by `-`; unique in a service. */
  readonly name: string
  /** The variables of the environment that it reads, validated together with those of the service. */
  readonly env?: Env
  /** What they are where nothing sets them, by environment: `dev`, `stag` and `prod`; a service may say others. */
  readonly defaults?: EnvironmentDefaults<Partial<Value<Env>> & DefaultValues>
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
  /** What it adds to the app, for `manage plugins`; a use of another name adds that instead, except for `auth`, which strategies share. */
  readonly decorators?: readonly string[]
  /**
   * Its options in a service, by its variables and what the service says; those that a use of it is given come before them.
   * A text: the service goes without it, and that has to be done to have it. An error: the same, and the log tells it.
   * A plugin with this reads no variables in an app that is no service: there its options say all.
   */
  options?(given: PluginGiven<Value<Env>>): Options | string | PlinthError
  /**
   * Adds what it has to the app, as any Fastify plugin does; what it throws keeps the app from starting. What is heavy it
   * imports itself: `await import('…')`, so that whoever only lists the plugin does not load that.
   */
  register?(app: FastifyInstance, options: Options, context: Context): void | Promise<void>
}

/** What every use of a plugin may say beside the options of its own. */
export interface PluginUse {
  /** Default: the plugin's. Another use of it needs another, which then begins its variables: `ALERTS_SMS_URL`. */
  name?: string
  /** Moves what it serves, or says other things of it, by name; `false`: it is left out. Default: as the plugin says. */
  modules?: false | Readonly<Record<string, false | Omit<Module, 'resources' | 'modules'>>>
}

type UseOf<Options> = Options & Omit<PluginUse, keyof Options>

/**
 * A plugin by `definePlugin`: called with options it is one use of it, and Fastify registers it as it is.
 *
 * @template Given what a use of it has to be given in a service
 */
export interface Plugin<Options extends object, Given extends object = Options> {
  (
    ...options: Record<never, never> extends Given
      ? [options?: UseOf<Given>]
      : [options: UseOf<Given>]
  ): FastifyPluginAsync
  (app: FastifyInstance, options: UseOf<Options>): Promise<void>
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
>(
  definition: PluginDefinition<Env, Options> &
    Required<Pick<PluginDefinition<Env, Options>, 'options'>>,
): Plugin<Options, Partial<Options>>
export function definePlugin<
  Env extends TObject = TObject<Record<never, never>>,
  Options extends object = Record<never, never>,
>(definition: PluginDefinition<Env, Options>): Plugin<Options>
export function definePlugin(definition: object): unknown {
  const known = definition as PluginDefinition
  assertDefinition(known)
  function plugin(...args: readonly unknown[]): unknown {
    // Fastify puts the app before them.
    if (args.length < 2) return createUse(known, args[0] as PluginUse | undefined)
    const [app, options] = args as [FastifyInstance, PluginUse | undefined]
    return attachAlone(app, createInstance(known, options))
  }
  const made = fp(plugin as FastifyPluginAsync, { name: known.name, fastify: '5.x' })
  return Object.assign(made, { definition: known, [INSTANCE]: createInstance(known) })
}

function createUse(definition: PluginDefinition, options?: PluginUse): FastifyPluginAsync {
  const instance = createInstance(definition, options)
  const use: FastifyPluginAsync = (app) => attachAlone(app, instance)
  return Object.assign(fp(use, { name: instance.name, fastify: '5.x' }), { [INSTANCE]: instance })
}

function createInstance(definition: PluginDefinition, given: PluginUse = {}): PluginInstance {
  const { name = definition.name, ...options } = given
  assertPluginName(name, definition.name)
  // Of one that serves nothing itself it is an option of its own.
  if (!definition.modules) return { definition, name, options, modules: undefined }
  const { modules, ...others } = options
  return { definition, name, options: others, modules }
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

/**
 * The variables of one use of a plugin, as the environment has them: those of another name begin with it. What follows of the
 * mode is only so for the first: none of these need be set, and a URL follows of its own parts alone.
 */
export function variablesOf({ definition, name }: PluginInstance): TObject | undefined {
  const { env } = definition
  if (!env) return undefined
  const prefix = prefixOf(definition, name)
  if (prefix === '') return env
  const named = ([variable, schema]: [string, VariableSchema]) => {
    const { derived, ...others } = schema
    if (derived === undefined) return [prefix + variable, schema]
    const parts = /^from (\w+_\*)/.exec(derived)?.[1]
    return [prefix + variable, { ...others, ...(parts && { derived: `from ${prefix}${parts}` }) }]
  }
  const variables = Object.entries<VariableSchema>(env.properties)
  const isNeeded = (variable: string) => !(env.properties[variable] as VariableSchema).derived
  const required = (env.required ?? []).filter(isNeeded).map((variable) => prefix + variable)
  return { ...env, properties: Object.fromEntries(variables.map(named)), required } as TObject
}

/** Those of `values`, which are of the environment and validated, that a use of a plugin has, by the names in the plugin. */
export function envOf(
  { definition, name }: PluginInstance,
  values: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const prefix = prefixOf(definition, name)
  const names = Object.keys(definition.env?.properties ?? {})
  return Object.fromEntries(names.map((key) => [key, values[prefix + key]]))
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

/** What a variable is called in the environment that a use of a plugin reads. */
export function variableOf({ definition, name }: PluginInstance, variable: string): string {
  return prefixOf(definition, name) + variable
}

/** What the names of its variables begin with. One that is called like the plugin at its end does not say that twice: `CACHE_REDIS_URL`. */
function prefixOf(definition: PluginDefinition, name: string): string {
  if (name === definition.name) return ''
  const own = name.endsWith(`-${definition.name}`)
    ? name.slice(0, -definition.name.length - 1)
    : name
  return `${own.toUpperCase().replaceAll('-', '_')}_`
}

/** What the plugins of an app check, which is the same in all of its contexts. */
const checksOf = new WeakMap<object, { readonly name: string; readonly run: RunCheck }[]>()

type RunCheck = (production: boolean) => ReturnType<PluginCheck>

/** What `manage check` finds by the plugins of an app, which is ready. */
export async function runChecks(
  app: FastifyInstance,
  production: boolean,
): Promise<(PluginFinding & { readonly check: string })[]> {
  const found: (PluginFinding & { readonly check: string })[] = []
  // One after the other: what one of them loads must not make the others late.
  for (const { name, run } of checksOf.get(app.server) ?? [])
    for (const finding of await run(production)) found.push({ check: name, ...finding })
  return found
}

/** Attaches one use of a plugin in an app that has read no configuration for it. */
async function attachAlone(app: FastifyInstance, instance: PluginInstance): Promise<void> {
  const schema = instance.definition.options ? undefined : variablesOf(instance)
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
  const missing = needs.find((need) => !app.hasPlugin(need))
  if (missing) throw errors.PLUGIN_MISSING(name, missing, 'register it first')
  assertOnce(app, name)
  const named = (key: string) => nameWithin(instance, key)
  for (const key of Object.keys(readiness)) assertNameFree(app, definition.name, named(key))
  const context: PluginContext = { name, env: envOf(instance, values), options }
  await definition.register?.(app, options, context)
  for (const [key, given] of Object.entries(readiness)) {
    const { check, optional = false } = typeof given === 'function' ? { check: given } : given
    const run: ReadinessCheck = (signal) => check(app, signal, context)
    readinessOf(app).set(named(key), optional ? Object.assign(run, { optional }) : run)
  }
  const { checks = [], metrics = [] } = definition
  const added = checks.map((check) => ({
    name,
    run: (production: boolean) => check(app, { ...context, production }),
  }))
  checksOf.set(app.server, [...(checksOf.get(app.server) ?? []), ...added])
  for (const metric of metrics)
    addMetric(app, { ...metric, name: `${name.replaceAll('-', '_')}_${metric.name}` }, () =>
      metric.collect(app, context),
    )
}

/**
 * Marks a context as one that has the plugin. Contexts around it may have it, too.
 *
 * @throws {PlinthError} PLUGIN_TWICE
 */
function assertOnce(app: FastifyInstance, name: string): void {
  const key = Symbol.for(`plinth.plugin ${name}`)
  if (Object.hasOwn(app, key)) throw errors.PLUGIN_TWICE(name)
  app.decorate(key, true)
}

/** What the plugin calls by its own name has that of the use; other things stand below it, unless the use has that name. */
function nameWithin({ definition, name }: PluginInstance, key: string): string {
  if (name === definition.name) return key
  return key === definition.name ? name : `${name}.${key}`
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
