import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { FirstUse } from '../src/first-use.ts'
import { definePlugin, type PluginGiven } from '../src/plugin.ts'
import { checkOptions } from '../src/plugin-guards.ts'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  CONTRACT: Type.Boolean({
    description: 'Serve /contract.json: what callers of the service know of it.',
    derived: 'false in production, otherwise true',
  }),
})
type Env = Static<typeof env>

export interface ContractOptions {
  /** The name of the service. */
  service: string
  /** Default `0.0.0`. */
  version?: string
  /** Where it is; default `/contract.json`. */
  path?: string
  /** Where the app looks tasks up; `false`: nowhere. Default `/tasks`. */
  tasks?: string | false
}

/**
 * Serves `/contract.json`: the resources of the app that have a route, with their schemas, for the clients of other services. It is
 * made at the first visit.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE
 */
async function register(app: FastifyInstance, options: ContractOptions): Promise<void> {
  checkOptions<ContractOptions>('contract', options, {
    service: 'text',
    version: 'text?',
    path: 'path?',
    tasks: 'route?',
  })
  const { service: name, version, tasks, path = '/contract.json' } = options
  const { createAsset, sendAsset } = await import('../src/openapi/asset.ts')
  const build = async () => {
    const { contractOf, writeContract } = await import('../src/remote/contract.ts')
    return createAsset(
      'application/json; charset=utf-8',
      writeContract(contractOf(app, { name, version, tasks })),
    )
  }
  const asset = new FirstUse(build)
  app.get(path, { schema: { hide: true }, config: { kit: 'contract' } }, async (request, reply) => {
    return sendAsset(await asset.get(), request, reply)
  })
}

function optionsOf({ env, service, named }: PluginGiven<Env>): ContractOptions | string {
  const { contract, tasks } = service.routes ?? {}
  if (contract === false) return 'take contract: false out of the routes of the service'
  if (!env.CONTRACT) return `set ${named('CONTRACT')}=true`
  const { name, version } = service
  return {
    service: name,
    ...(version !== undefined && { version }),
    ...(contract !== undefined && { path: contract }),
    ...(tasks !== undefined && { tasks }),
  }
}

export default definePlugin({
  name: 'contract',
  env,
  after: ['decompress', 'envelope', 'auth', 'tasks'],
  options: optionsOf,
  register,
})
