import { AsyncLocalStorage } from 'node:async_hooks'
import type {
  FastifyInstance,
  FastifyRequest,
  InjectOptions,
  LightMyRequestResponse,
} from 'fastify'
import type { TSchema } from 'typebox'
import type { ServiceDefinition } from '../define-service.ts'
import { bindResources } from '../resource/bound-table.ts'
import {
  Context,
  defaultIdentify,
  type Identify,
  ranked,
  runInContext,
  type User,
} from '../resource/context.ts'
import type { ModuleTable } from '../resource/module.ts'
import type { CallArguments, Resource } from '../resource/resource.ts'
import type { App } from '../service.ts'
import { type Answer, send } from './send.ts'

/** What is done on behalf of somebody, in every way. */
export interface Caller<Modules extends ModuleTable = ModuleTable> {
  /** A request of theirs. */
  inject(request: InjectOptions | string): Promise<LightMyRequestResponse>
  /** The request that calls a resource by HTTP, and what is answered. */
  send<Req extends TSchema, Res extends TSchema>(
    resource: Resource<Req, Res>,
    ...args: CallArguments<Req, [headers?: InjectOptions['headers']]>
  ): Promise<Answer<Res>>
  /** The resources, called in process; each call is checked for them as it would be in a request. */
  readonly resources: App<Modules>['resources']
  /** Runs `work` so that whatever resource it calls is called by them. */
  run<T>(work: () => T): T
}

/** Who makes the requests that are injected now. */
const injecting = new AsyncLocalStorage<User>()

/** Lets tests say who calls, whatever the service asks of its users. */
export class Callers {
  // Told with the first hook: what has read a body goes on elsewhere.
  readonly #users = new WeakMap<object, User>()

  /** Before the plugins are loaded. */
  prepare(app: FastifyInstance): void {
    app.addHook('onRequest', (request, _reply, done) => {
      const user = injecting.getStore()
      if (user) this.#users.set(request.raw, user)
      done()
    })
  }

  /** Who makes a request, in place of what the service says; undefined: its strategies alone find users. */
  identify({ identify, auth }: ServiceDefinition): Identify | undefined {
    if (auth && !identify) return undefined
    const own = identify ?? defaultIdentify
    return (request) => this.#users.get(request.raw) ?? own(request)
  }

  /** Of an app whose plugins are loaded: those whom a test names are found without a strategy. */
  replaceStrategies(app: FastifyInstance): void {
    if (!app.hasDecorator('auth')) return
    const { auth } = app
    const { find } = auth
    auth.find = (request, reply) => {
      const user = this.#userOf(app, request)
      if (!user) return find(request, reply)
      Object.assign(request, { user, auth: { user, strategy: 'test' } })
      return undefined
    }
  }

  #userOf(app: FastifyInstance, request: FastifyRequest): User | undefined {
    const user = this.#users.get(request.raw)
    return user && ranked(app, user)
  }

  as<Modules extends ModuleTable>(
    app: FastifyInstance,
    who: User | string | null,
  ): Caller<Modules> {
    const user = typeof who === 'string' ? { id: who } : (who ?? undefined)
    const run = <T>(work: () => T): T => {
      const context = new Context(app)
      context.user = user
      return runInContext(context, work, undefined, undefined)
    }
    const inject: Caller['inject'] = async (request) =>
      user
        ? await injecting.run(user, async () => await app.inject(request))
        : await app.inject(request)
    return {
      inject,
      send: (resource, ...[input, headers]) => send(app, inject, resource, input, headers) as never,
      get resources() {
        return bindResources(app.registry.modules, run) as Caller<Modules>['resources']
      },
      run,
    }
  }
}
