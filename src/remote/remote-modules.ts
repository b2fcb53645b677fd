import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.ts'
import { envelopeOf } from '../http/envelope.ts'
import { requirePackages } from '../packages.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { Elsewhere } from '../resource/enqueue.ts'
import type { Listing } from '../resource/registry.ts'
import { Connection } from './connection.ts'
import { resourceContract } from './contract.ts'
import { packagesFor } from './performer.ts'
import {
  RemoteResource,
  type RemoteService,
  type RemoteSettings,
  settingsOf,
} from './remote-resource.ts'

export interface RemoteOptions extends RemoteSettings {
  /** Where the other processes look tasks up; `false`: nowhere. Default `/tasks`. */
  tasks?: string | false
}

/**
 * Has the resources of the modules of `app` that say where they are performed performed there, by whoever calls them here.
 *
 * @throws {PlinthError} PACKAGE_MISSING
 */
export function performElsewhere(
  app: FastifyInstance,
  { tasks = '/tasks', ...settings }: RemoteOptions,
): void {
  requirePackages('upstream', packagesFor(settings.auth))
  const elsewhere = new Map<AnyDefined, Elsewhere>()
  const services = new Map<string, RemoteService>()
  for (const listing of app.registry.listings()) {
    const { entry, module } = listing
    const { remote: url } = module
    if (url === undefined || elsewhere.has(entry.resource)) continue
    const service = services.get(url) ?? serviceAt(url, module.name)
    services.set(url, service)
    elsewhere.set(entry.resource, new LaterResource(app, listing, service))
  }
  app.decorate('elsewhere', elsewhere)

  function serviceAt(url: string, module: string): RemoteService {
    const own = settingsOf(module, { envelope: envelopeOf(app), ...settings }, 'own')
    const connection = new Connection(module, url, own)
    // It is the same service, in another process.
    const name = app.remotes?.client.replace(/\/[^/]*$/, '') ?? module
    return { name, connection, settings: own, tasks: tasks === false ? null : tasks }
  }
}

/** One whose schemas are asked for when it is first called: the app has all of them by then. */
class LaterResource implements Elsewhere {
  readonly #app: FastifyInstance
  readonly #listing: Listing
  readonly #service: RemoteService
  #made: RemoteResource | undefined

  constructor(app: FastifyInstance, listing: Listing, service: RemoteService) {
    this.#app = app
    this.#listing = listing
    this.#service = service
  }

  async perform(...args: Parameters<Elsewhere['perform']>): Promise<unknown> {
    return await this.#resource.perform(...args)
  }

  async enqueue(...args: Parameters<Elsewhere['enqueue']>) {
    return await this.#resource.enqueue(...args)
  }

  /** @throws {PlinthError} REMOTE_INVALID */
  get #resource(): RemoteResource {
    const { entry, name, exposed } = this.#listing
    if (!exposed)
      throw errors.REMOTE_INVALID(
        name,
        'it has no route (expose: false), and its module is performed elsewhere',
      )
    this.#made ??= new RemoteResource(
      this.#service,
      name,
      resourceContract(this.#app, this.#listing),
      entry.resource,
    )
    return this.#made
  }
}
