import type { FastifyPluginAsync, FastifyPluginCallback, RouteShorthandOptions } from 'fastify'
import { errors } from '../errors.ts'
import type { AccessSettings } from './access.ts'
import type { AnyDefined, Idempotency } from './contract.ts'
import type { RateLimitSettings } from './rate-limit.ts'
import type { Security } from './security.ts'

/** Resources by name: `cities.retrieve` is `{ cities: defineModule({ resources: { retrieve } }) }`. */
export type ResourceTable = Readonly<Record<string, AnyDefined>>

/** What a module says of all that is in it, where that does not say it itself. */
export interface ModuleSettings {
  /** Groups its operations in the API document. */
  readonly tags?: readonly string[]
  /** How its clients authenticate, for the API document; default: as the service says. It enforces nothing. */
  readonly security?: Security
  /** Whether its resources have a route; default true. */
  readonly expose?: boolean
  /** Whether clients may have its resources run as tasks; default: as the service says. */
  readonly async?: boolean
  /** How its resources take the header `Idempotency-Key`; default: as the service says. */
  readonly idempotency?: Idempotency
  /** Where its tasks wait; default `default`. Where a service is several (PLINTH_MODULES), each has its own then. */
  readonly queue?: string
}

/** The hooks of Fastify that a module may have, one or several of each. */
type ModuleHooks = {
  readonly [Name in (typeof MODULE_HOOKS)[number]]?: NonNullable<RouteShorthandOptions[Name]>
}

/** What a module's Fastify context has besides: it ends with the module, and the modules within it have it, too. */
export interface ModuleScope {
  /** Registered before its routes. */
  readonly plugins?: readonly (FastifyPluginAsync | FastifyPluginCallback)[]
  /** Run for its routes alone: `{ onRequest: requireAdmin }`. */
  readonly hooks?: ModuleHooks
}

/** The hooks of a request, in their order. */
export const MODULE_HOOKS = [
  'onRequest',
  'preParsing',
  'preValidation',
  'preHandler',
  'preSerialization',
  'onSend',
  'onResponse',
  'onTimeout',
  'onError',
  'onRequestAbort',
] as const

export interface Module<
  Resources extends ResourceTable = ResourceTable,
  Modules extends ModuleTable = ModuleTable,
> extends ModuleSettings,
    ModuleScope,
    AccessSettings,
    RateLimitSettings {
  /** Where its routes begin, below the module around it: `/cities`. One without routes of its own needs none. */
  readonly prefix?: string
  readonly resources?: Resources
  /**
   * The URL of the process that performs its resources, those of modules within it, too: `https://cities.internal`. They are called as before,
   * and this process serves none of them. PLINTH_REMOTES says it from outside.
   */
  readonly remote?: string
  /** Modules within it, which take on what it says: `admin.users.list`. */
  readonly modules?: Modules
}

/** Modules by name. */
export interface ModuleTable {
  readonly [name: string]: Module
}

/** The resources of all modules, as they are called: `{ cities: { retrieve } }`. */
export type Resources<Modules> = {
  readonly [M in keyof Modules]: Modules[M] extends Module<infer Table, infer Inner>
    ? Table & Resources<Inner>
    : never
}

/** Defines a module: resources and modules under one prefix, served in an encapsulated Fastify context. */
export function defineModule<
  const Resources extends ResourceTable = Record<never, never>,
  const Modules extends ModuleTable = Record<never, never>,
>(module: Module<Resources, Modules>): Module<Resources, Modules> {
  return module
}

const KEYS = {
  prefix: true,
  resources: true,
  modules: true,
  plugins: true,
  hooks: true,
  auth: true,
  permissions: true,
  rateLimits: true,
  tags: true,
  security: true,
  expose: true,
  async: true,
  idempotency: true,
  queue: true,
  remote: true,
} satisfies Record<keyof Module, true>

const HOOKS = Object.fromEntries(MODULE_HOOKS.map((name) => [name, true]))

/**
 * Refuses what nothing would read of modules, those within others included.
 *
 * @throws {PlinthError} SERVICE_INVALID
 */
export function assertModuleKeys(modules: ModuleTable, outer = ''): void {
  for (const [key, module] of Object.entries(modules)) {
    const name = `${outer}${key}`
    assertKnown(`The module ${name}`, module, KEYS)
    assertKnown(`hooks of the module ${name}`, module.hooks ?? {}, HOOKS)
    assertModuleKeys(module.modules ?? {}, `${name}.`)
  }
}

/** @throws {PlinthError} SERVICE_INVALID where `given` has a key that is not `known` */
export function assertKnown(place: string, given: object, known: object): void {
  const strange = Object.keys(given).find((key) => !Object.hasOwn(known, key))
  if (strange !== undefined)
    throw errors.SERVICE_INVALID(place, strange, Object.keys(known).join(', '))
}

/** What names all modules in PLINTH_MODULES. */
const ALL = '__all__'

/** The full names of `modules`, those within others included. */
export function moduleNames(modules: ModuleTable, outer = ''): string[] {
  return Object.entries(modules).flatMap(([key, module]) => {
    const name = `${outer}${key}`
    return [name, ...moduleNames(module.modules ?? {}, `${name}.`)]
  })
}

/** The modules that PLINTH_MODULES names; `undefined`: all. */
export function parseModules(text: string): readonly string[] | undefined {
  const names = text.split(',').map((name) => name.trim())
  return names.includes(ALL) ? undefined : names.filter((name) => name !== '')
}
