import { readFile } from 'node:fs/promises'
import { Type } from 'typebox'
import { unlessAborted } from '../abort.ts'
import { errors } from '../errors.ts'
import { CLIENT } from '../http/request-line.ts'
import { requirePackages } from '../packages.ts'
import { type CallOptions, validateRequest, within } from '../resource/call.ts'
import { type Context, currentContext } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { ModuleTable, Resources } from '../resource/module.ts'
import { type AnyResource, createResource } from '../resource/resource.ts'
import { createAddress } from './address-request.ts'
import type { ApiSettings, CheckedSettings } from './api-settings.ts'
import { type BaseUrl, Connection, readUrl } from './connection.ts'
import { asContract, type ServiceContract } from './contract.ts'
import { Performer, packagesFor } from './performer.ts'
import {
  RemoteResource,
  type RemoteService,
  type RemoteSettings,
  settingsOf,
} from './remote-resource.ts'

/** Another service, as `createClient` takes it: where it is, and how it is called. */
export interface ClientOptions extends RemoteSettings {
  /** Where the service is; as a function it is asked once for each app. */
  url: BaseUrl
  /** What errors and logs call it; default: the host of `url`. */
  name?: string
  /** Its contract, or the file that `manage contract export` has written; default: it is asked for at the first call, `/contract.json`. */
  contract?: ServiceContract | URL
}

/** The resources of another service, called as in it. */
export type Client<Service> = Service extends {
  readonly modules: infer Modules extends ModuleTable
}
  ? Resources<Modules>
  : never

/**
 * The resources of another service, of which only the types are imported: `createClient<typeof atlas>({ url })`. They are called in a
 * request or in `app.run`, and do what they do in process: requests and results are validated, failures are those that the resource
 * throws. The deadline of the request goes with each call.
 *
 * @throws {PlinthError} PACKAGE_MISSING; API_INVALID for a `url` that is none; REMOTE_INVALID for a `contract` that is none
 *
 * A call throws beside that UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, UPSTREAM_REFUSED and UPSTREAM_INVALID, for what is no answer of the resource.
 */
export function createClient<Service>(options: ClientOptions): Client<Service> {
  requirePackages('upstream', packagesFor(options.auth))
  const loader = new Loader(options)
  return place(loader, []) as Client<Service>
}

/** Reads the contract once, and makes of it what is called. */
class Loader {
  readonly #options: ClientOptions
  readonly #connection: Connection
  #loading: Promise<ReadonlyMap<string, AnyResource>> | undefined
  #loaded: ReadonlyMap<string, AnyResource> | undefined

  constructor(options: ClientOptions) {
    const { url, name = nameOf(url), contract } = options
    if (typeof url === 'string') readUrl(name, 'url', url)
    this.#options = options
    this.#connection = new Connection(name, url, settingsOf(name, options, 'standard'))
    if (contract && !(contract instanceof URL)) this.#loaded = this.#make(take(name, contract))
  }

  get connection(): Connection {
    return this.#connection
  }

  /** @throws {PlinthError} REMOTE_INVALID where there is none */
  async find(path: readonly string[]): Promise<(...args: unknown[]) => unknown> {
    const name = path.join('.')
    const resources = this.#loaded ?? (await this.#load(name))
    const resource = resources.get(name)
    if (resource) return resource as never
    const [owner, method = ''] = [resources.get(path.slice(0, -1).join('.')), path.at(-1)]
    if (owner && method === 'task') throw notHere(name)
    if (owner && WAYS.includes(method)) return owner[method as keyof typeof owner] as never
    throw errors.REMOTE_INVALID(
      name,
      'the contract of that service has no such resource with a route',
    )
  }

  /** Whether that is known to be what plans a task of one of them. */
  plans(path: readonly string[]): boolean {
    if (path.at(-1) !== 'task' || this.#loaded?.has(path.join('.'))) return false
    return this.#loaded?.has(path.slice(0, -1).join('.')) === true
  }

  /** A failure is none for ever: the next call asks again. Who has asked first may leave: the others wait for it, too. */
  async #load(name: string): Promise<ReadonlyMap<string, AnyResource>> {
    const context = contextOf(name)
    this.#loading ??= this.#read(name, context.withSignal(new AbortController().signal))
      .then((contract) => this.#make(contract))
      .finally(() => {
        this.#loading = undefined
      })
    this.#loaded = await unlessAborted(this.#loading, context.signal)
    return this.#loaded
  }

  async #read(name: string, context: Context): Promise<ServiceContract> {
    const { contract } = this.#options
    if (!(contract instanceof URL)) return take(name, await this.#ask(context))
    const text = await readFile(contract, 'utf8').catch((cause: Error) => {
      throw invalidContract(name, cause)
    })
    return take(name, text)
  }

  async #ask(context: Context): Promise<unknown> {
    const performer = new Performer(this.#connection, {
      ...(settingsOf(this.#connection.name, this.#options, 'standard') as CheckedSettings<
        ApiSettings<never>
      >),
      envelope: 'bare',
      method: 'GET',
      idempotent: true,
      body: 'json',
      streams: false,
      address: createAddress({
        name: 'contract',
        method: 'GET',
        path: '/contract.json',
        query: [],
        request: { type: 'object', properties: {} },
      }),
    })
    return await performer.perform(CONTRACT, {} as never, context, {
      operation: CONTRACT_OPERATION,
      addHeaders: (headers, { app }) => {
        if (app.remotes) headers[CLIENT] = app.remotes.client
      },
    })
  }

  #make(contract: ServiceContract): ReadonlyMap<string, AnyResource> {
    const service: RemoteService = {
      name: contract.service,
      connection: this.#connection,
      settings: settingsOf(this.#connection.name, this.#options, contract.envelope),
      tasks: contract.tasks,
    }
    if (contract.envelope === 'own' && !this.#options.envelope)
      throw errors.REMOTE_INVALID(
        contract.service,
        'it answers in a form of its own; give createClient its envelope',
      )
    const entries = Object.entries(contract.resources).map(
      ([name, one]) => [name, toResource(service, name, one)] as const,
    )
    return new Map(entries)
  }
}

/** @throws {PlinthError} REMOTE_INVALID where it is no contract, or no text of one */
function take(name: string, given: unknown): ServiceContract {
  try {
    return asContract(typeof given === 'string' ? JSON.parse(given) : given)
  } catch (cause) {
    throw invalidContract(name, cause as Error)
  }
}

function invalidContract(name: string, cause: Error): Error {
  return errors.REMOTE_INVALID.with({ cause }, name, `its contract: ${cause.message}`)
}

const CONTRACT_OPERATION = 'contract'
const CONTRACT = {
  definition: { summary: 'The contract', perform: () => null },
  request: Type.Object({}),
  response: Type.Unknown(),
} as AnyDefined

/** Whether it is what asks for a contract. */
export const isContract = (resource: AnyDefined): boolean => resource === CONTRACT

/** In which ways a resource is called beside being called itself. */
const WAYS = ['refresh', 'cacheless', 'invalidate', 'enqueue', 'bulk']

function notHere(name: string): Error {
  const problem = 'it is no part of a chain or group: let a task of this service call it'
  return errors.REMOTE_INVALID(name, problem)
}

function nameOf(url: BaseUrl): string {
  return (typeof url === 'string' && URL.parse(url)?.host) || 'a service'
}

/** What is asked by a resource of a client. */
export interface RemotePlace {
  readonly connection: Connection
  /** What errors call it: the name of the resource; of the client itself, the contract. */
  readonly operation: string
}

const places = new WeakMap<object, RemotePlace>()

/** What a client, or one of its resources, asks; `undefined`: it is neither. */
export function placeOf(resource: object): RemotePlace | undefined {
  return places.get(resource)
}

/** A resource, or what leads to some: which of them is known when it is called. */
function place(loader: Loader, path: readonly string[]): unknown {
  const inner = new Map<string, unknown>()
  let found: ((...args: unknown[]) => unknown) | undefined
  const call = (...args: unknown[]): unknown => {
    // At once, as in process: it is handed on without anybody who awaits it.
    if (loader.plans(path)) throw notHere(path.join('.'))
    return found?.(...args) ?? findAndCall(args)
  }
  const findAndCall = async (args: unknown[]) => {
    found = await loader.find(path)
    return await found(...args)
  }
  const placed = new Proxy(call, {
    get(_, key) {
      // It is no promise, whoever awaits it.
      if (typeof key !== 'string' || key === 'then') return undefined
      const known = inner.get(key) ?? place(loader, [...path, key])
      inner.set(key, known)
      return known
    },
  })
  const operation = path.length === 0 ? CONTRACT_OPERATION : path.join('.')
  places.set(placed, { connection: loader.connection, operation })
  return placed
}

/** @throws {PlinthError} CONTEXT_MISSING */
function contextOf(name: string): Context {
  const context = currentContext()
  if (!context) throw errors.CONTEXT_MISSING(name)
  context.throwIfAborted()
  return context
}

function toResource(
  service: RemoteService,
  name: string,
  contract: ServiceContract['resources'][string],
): AnyResource {
  const { request, response, method, path } = contract
  const defined = {
    definition: { summary: name, method, path, perform: () => null },
    request,
    response,
  } as AnyDefined
  const remote = new RemoteResource(service, name, contract, defined)
  const prepare = (resource: AnyDefined, given: unknown) => {
    const context = contextOf(name)
    return { name, context, input: validateRequest(context.app, resource, name, given) }
  }
  return createResource(
    {
      async call(resource, request, options: CallOptions = {}, mode) {
        const call = prepare(resource, request)
        const { signal, timeout } = options
        if (signal === undefined && timeout === undefined)
          return await remote.perform(call.input, call.context, mode)
        return await within(call, { signal, timeout }, (context) =>
          remote.perform(call.input, context, mode),
        )
      },
      async invalidate() {
        throw errors.REMOTE_INVALID(
          name,
          'its service alone takes away what it has cached; call refresh',
        )
      },
      async enqueue(resource, request, options) {
        const { context, input } = prepare(resource, request)
        return await remote.enqueue(input, context, options)
      },
      async enqueueMany(resource, requests, { key, ...options } = {}) {
        const calls = requests.map((request) => prepare(resource, request))
        return await Promise.all(
          calls.map(({ context, input }, index) =>
            remote.enqueue(input, context, key ? { ...options, key: key(input, index) } : options),
          ),
        )
      },
    },
    defined,
  ) as AnyResource
}
