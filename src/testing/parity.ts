import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'
import type { User } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { toPlinthError } from '../resource/failure.ts'
import type { ModuleTable } from '../resource/module.ts'
import type { AnyResource, CallArguments, Resource } from '../resource/resource.ts'
import { hasFiles, isStreamSchema } from '../resource/stream.ts'
import { exactly, toJson } from '../schema/json.ts'
import { listed, send } from './send.ts'
import type { TestApp } from './test-app.ts'

export interface ParityOptions {
  /** Who calls; default: nobody. */
  as?: User | string | null
}

/** What comes of a call: what its caller is given, or what of an error is told. */
export interface ParityOutcome {
  readonly data?: unknown
  readonly failure?: { readonly code: string; readonly message: string }
}

/**
 * Calls a resource in all ways that there are for it: in process, over HTTP (where it has a route), in bulk, past its cache and from it, and as a task. The app is reset before
 * each, so that each finds the same.
 *
 * @returns what has come of it, the same by each
 * @throws {Error} where they differ, with what each gave
 */
export async function parity<Modules extends ModuleTable, Req extends TSchema, Res extends TSchema>(
  app: TestApp<Modules>,
  resource: Resource<Req, Res>,
  ...[input, options = {}]: CallArguments<Req, [options?: ParityOptions]>
): Promise<ParityOutcome> {
  const own = app as unknown as FastifyInstance
  const ways = waysOf(own, app, resource, input, options.as ?? null)
  const outcomes: Record<string, ParityOutcome> = {}
  for (const [name, call] of Object.entries(ways)) {
    await app.reset()
    outcomes[name] = await call().then(
      (data) => ({ data: toJson(data, true, exactly) }),
      (error: unknown) => ({ failure: told(error, own) }),
    )
  }
  await app.reset()
  const [first, ...others] = Object.values(outcomes)
  if (others.every((other) => isDeepStrictEqual(other, first))) return first as ParityOutcome
  const each = Object.entries(outcomes).map(
    ([name, outcome]) => `  ${name}: ${JSON.stringify(outcome, digits)}`,
  )
  throw new Error(`${listed(own, resource).name} is not the same by every way:\n${each.join('\n')}`)
}

const digits = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

function waysOf<Modules extends ModuleTable>(
  app: FastifyInstance,
  { as, tasks }: TestApp<Modules>,
  given: AnyDefined,
  input: unknown,
  user: User | string | null,
): Record<string, () => Promise<unknown>> {
  const { name, resource: own, listings } = listed(app, given)
  const resource = own as AnyResource
  const { run, inject } = as(user)
  const request = (input ?? {}) as never
  const isKept = !hasFiles(own.request) && !isStreamSchema(own.response)
  const loadsUser = user === null || app.tasks.loadsUsers
  return {
    'in process': () => run(() => resource(request)),
    ...(listings.some(({ exposed }) => exposed) && {
      'over HTTP': async () => {
        const answer = await send(app, inject, own, request)
        if (answer.failure) throw Object.assign(new Error(), { told: answer.failure })
        return answer.data
      },
    }),
    'in bulk': async () => (await run(() => resource.bulk([request])))[0],
    ...(own.definition.cache && {
      'past the cache': () => run(() => resource.refresh(request)),
      'from the cache': async () => {
        await run(() => resource(request))
        return await run(() => resource(request))
      },
    }),
    ...(isKept &&
      loadsUser && {
        'as a task': async () => {
          const task = await run(() => resource.enqueue(request))
          await tasks.drain()
          const { state, result, failure } = await app.tasks.find(task.task_id)
          if (state === 'succeeded') return result
          throw Object.assign(new Error(`the task of ${name} is ${state}`), { told: failure })
        },
      }),
  }
}

/** Of a task only this is kept. */
function told(error: unknown, app: FastifyInstance): { code: string; message: string } {
  const { told } = error as { told?: { code: string; message: string } | null }
  const { code, message } = told ?? toPlinthError(error, app)
  return { code, message }
}
