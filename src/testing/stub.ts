import type { FastifyInstance } from 'fastify'
import type { Static, TSchema } from 'typebox'
import type { Context } from '../resource/context.ts'
import type { AnyDefined, ResourceDefinition } from '../resource/contract.ts'
import type { Resource } from '../resource/resource.ts'
import { listed } from './send.ts'

/** What a resource does in place of what it would. */
export interface Stub<Input> {
  /** What it was called with, in order. */
  readonly calls: readonly Input[]
  /** It does again what it did before; resetting the app does that, too. */
  restore(): void
}

export type StubResource = <Req extends TSchema, Res extends TSchema>(
  resource: Resource<Req, Res>,
  perform: ResourceDefinition<Req, Res>['perform'],
) => Stub<Static<Req>>

type Perform = (input: unknown, context: Context) => unknown

/** The stubs of an app. What they replace is replaced in the whole process. */
export class Stubs {
  readonly #app: FastifyInstance
  readonly #restore = new Set<() => void>()

  constructor(app: FastifyInstance) {
    this.#app = app
  }

  /**
   * Has `perform` done in place of what a resource does. Everything around it stays: the request is validated, the call authorized and cached, and what
   * is returned has to fit the schema, also where the resource is that of another system, which is not asked then.
   *
   * @throws {PlinthError} RESOURCE_UNLISTED
   */
  stub: StubResource = (resource, perform) => {
    const { name, resource: own } = listed(this.#app, resource as AnyDefined)
    const definition = own.definition as { perform: unknown }
    const calls: Static<(typeof resource)['request']>[] = []
    const before = definition.perform
    const elsewhere = this.#app.elsewhere as Map<AnyDefined, unknown> | undefined
    const remote = elsewhere?.get(own)
    const stubbed: Perform = async (input, context) => {
      calls.push(plain(input) as never)
      const response = await (perform as Perform)(input, context)
      // What another system gives is checked where it comes in, and not once more.
      context.app.responses.check(own, name, response)
      return response
    }
    definition.perform = stubbed
    elsewhere?.delete(own)
    const restore = () => {
      if (!this.#restore.delete(restore)) return
      definition.perform = before
      if (remote) elsewhere?.set(own, remote)
    }
    this.#restore.add(restore)
    return { calls, restore }
  }

  /** The newest first: of two of one resource the older one has what it did. */
  restoreAll(): void {
    for (const restore of [...this.#restore].reverse()) restore()
  }
}

/** Fastify's parameters of a path are no plain object, which a deep comparison would see. */
function plain(input: unknown): unknown {
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input)
  return isObject ? { ...input } : input
}
