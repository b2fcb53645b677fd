import { fileURLToPath } from 'node:url'
import Type, { type TObject } from 'typebox'
import admin from '../plugins/admin.ts'
import auth from '../plugins/auth.ts'
import cache from '../plugins/cache.ts'
import config from '../plugins/config.ts'
import contract from '../plugins/contract.ts'
import cors from '../plugins/cors.ts'
import database from '../plugins/database.ts'
import deadline from '../plugins/deadline.ts'
import decompress from '../plugins/decompress.ts'
import developer from '../plugins/developer.ts'
import docs from '../plugins/docs.ts'
import envelope from '../plugins/envelope.ts'
import health from '../plugins/health.ts'
import idempotency from '../plugins/idempotency.ts'
import languages from '../plugins/languages.ts'
import loadShedding from '../plugins/load-shedding.ts'
import queues from '../plugins/queues.ts'
import rateLimit from '../plugins/rate-limit.ts'
import redis from '../plugins/redis.ts'
import requestLog from '../plugins/request-log.ts'
import resources from '../plugins/resources.ts'
import securityHeaders from '../plugins/security-headers.ts'
import tasks from '../plugins/tasks.ts'
import telemetry from '../plugins/telemetry.ts'
import upstream from '../plugins/upstream.ts'
import { type EnvironmentDefaults, mapEnvironments } from './config/defaults.ts'
import type { ConfigOwner } from './config/read.ts'
import type { Model } from './database/model/types.ts'
import type { PluginFolder } from './database/numbered.ts'
import type { ServiceDefinition } from './define-service.ts'
import { errors } from './errors.ts'
import {
  defaultsOf,
  instanceOf,
  modulesOfPlugin,
  type PluginInstance,
  variablesOf,
} from './plugin.ts'
import { inOrder } from './plugin-order.ts'
import { type ModuleTable, moduleNames } from './resource/module.ts'

/**
 * The plugins of the kit, which every service has, each once. They are light: what is heavy each imports when it is
 * registered. Their order is that of their variables; each says what it needs and comes after.
 */
export const kitPlugins: readonly PluginInstance[] = [
  config,
  requestLog,
  telemetry,
  developer,
  languages,
  envelope,
  cors,
  securityHeaders,
  loadShedding,
  decompress,
  rateLimit,
  auth,
  docs,
  contract,
  health,
  deadline,
  database,
  redis,
  // What the cache has to itself: one that may evict, where that of the tasks must not.
  redis({ name: 'cache-redis' }),
  upstream,
  idempotency,
  cache,
  tasks,
  queues,
  admin,
  resources,
].flatMap((plugin) => instanceOf(plugin) ?? [])

/** The kit's variables, which a service joins its own to; docs/configuration.md lists them. */
export const kitOwners: readonly ConfigOwner[] = kitPlugins.flatMap(ownerOf)

function ownerOf(instance: PluginInstance): ConfigOwner[] {
  const schema = variablesOf(instance)
  return schema ? [{ owner: instance.name, schema }] : []
}

/**
 * The plugins of a service that `definePlugin` has made: the kit's, where it lists no use of them itself, and its own.
 *
 * @throws {PlinthError} PLUGIN_INVALID where two have one name
 */
export function pluginsOf({ plugins = [] }: ServiceDefinition): PluginInstance[] {
  const own = plugins.flatMap((plugin) => instanceOf(plugin) ?? [])
  const isListed = ({ name, definition }: PluginInstance) =>
    own.some((one) => one.name === name && one.definition === definition)
  const instances = [...kitPlugins.filter((one) => !isListed(one)), ...own]
  for (const { name, definition } of instances) {
    const other = instances.find((one) => one.definition.name === definition.name)
    if (other?.definition !== definition)
      throw errors.PLUGIN_INVALID(
        definition.name,
        'the service has two plugins that call themselves so: their migrations and commands could not be told apart',
      )
    if (instances.filter((one) => one.name === name).length > 1)
      throw errors.PLUGIN_INVALID(
        definition.name,
        `the service has two of the name ${name}; give one of them another: { name: '…' }`,
      )
  }
  return instances
}

/** Whose variables make up the configuration of a service: its plugins', the kit's among them, and its own. */
export function configOwners(service: ServiceDefinition): ConfigOwner[] {
  const { name, env } = service
  const plugins = pluginsOf(service).flatMap(ownerOf)
  const named = plugins.map((one) =>
    one.owner === 'resources' ? modulesOwner(one, moduleNames(modulesOf(service))) : one,
  )
  return [...named, ...(env ? [{ owner: name, schema: env }] : [])]
}

/** The same where PLINTH_MODULES names no other modules than these. */
function modulesOwner({ owner, schema }: ConfigOwner, modules: readonly string[]): ConfigOwner {
  const names = ['__all__', ...modules]
  const name = `\\s*(?:${names.map(literal).join('|')})\\s*`
  const PLINTH_MODULES = Type.With(schema.properties.PLINTH_MODULES as TObject, {
    pattern: `^${name}(?:,${name})*$`,
    expected: `__all__, or modules with commas between them: ${modules.join(', ')}`,
  })
  return { owner, schema: Type.Object({ ...schema.properties, PLINTH_MODULES }) }
}

/** A pattern of `text` itself. */
function literal(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}

/** What variables are where nothing sets them: what its plugins say, and what the service says of theirs, too. */
export function defaultsOfAll(service: ServiceDefinition): EnvironmentDefaults {
  return mapEnvironments((environment) =>
    Object.assign(
      {},
      ...pluginsOf(service).map((plugin) => defaultsOf(plugin, environment)),
      service.defaults?.[environment],
    ),
  )
}

/**
 * The folders that plugins bring of one kind, once for each plugin however often it is attached, in the order of what they
 * need.
 */
export function foldersOf(
  service: ServiceDefinition,
  kind: 'migrations' | 'seeds' | 'commands',
): PluginFolder[] {
  const definitions = [...new Set(pluginsOf(service).map(({ definition }) => definition))]
  const sorted = inOrder(
    definitions.map((definition) => {
      const { name, needs = [], after = [] } = definition
      return { name, after: [...needs, ...after], folder: definition[kind] }
    }),
  )
  return sorted.flatMap(({ name, folder }) =>
    folder ? [{ name, directory: fileURLToPath(folder) }] : [],
  )
}

/**
 * The modules of a service: its own, and those of its plugins.
 *
 * @throws {PlinthError} PLUGIN_INVALID where two have one name
 */
export function modulesOf(service: ServiceDefinition): ModuleTable {
  const all: Record<string, ModuleTable[string]> = { ...service.modules }
  for (const instance of pluginsOf(service)) {
    for (const [key, module] of Object.entries(modulesOfPlugin(instance))) {
      if (Object.hasOwn(all, key))
        throw errors.PLUGIN_INVALID(
          instance.name,
          `there is a module ${key} already; give the plugin another name, or leave its module out: { modules: { ${key}: false } }`,
        )
      all[key] = module
    }
  }
  return all
}

/** The tables of a service and of its plugins, of which each counts once however often it is attached. */
export function modelsOf(service: ServiceDefinition): readonly Model[] {
  const plugins = pluginsOf(service).flatMap(({ definition }) => definition.models ?? [])
  return [...new Set([...plugins, ...(service.models ?? [])])]
}
