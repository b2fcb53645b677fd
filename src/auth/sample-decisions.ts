import type { FastifyInstance } from 'fastify'
import type { AnyTables } from '../crud/model-write.ts'
import { modelOfScope } from '../crud/scope.ts'
import { inTransaction } from '../database/transaction.ts'
import type { Database } from '../database/types.ts'
import { errors, PlinthError } from '../errors.ts'
import { PUBLIC } from '../resource/access.ts'
import { validateRequest } from '../resource/call.ts'
import { Context, runInContext } from '../resource/context.ts'
import { authorize } from '../resource/execute.ts'
import { assertKnown } from '../resource/module.ts'
import type { Listing } from '../resource/registry.ts'
import { type AccessSamples, type Decision, exposed, type SampleRequests } from './access-matrix.ts'

/** What sample users get of an operation. */
export interface AskedOperation {
  readonly operation: string
  readonly method: string
  readonly path: string
  /** By the names of the users. */
  readonly gets: Readonly<Record<string, Decision>>
  /** What is not as it was expected, and what nobody can tell. */
  readonly problems: readonly string[]
}

/**
 * Asks for each operation of an app that has a route whether sample users may call it, by permissions and scopes, with the rows that
 * there are. Nothing is performed.
 *
 * @throws {PlinthError} SERVICE_INVALID where samples say what nobody reads, RESOURCE_UNKNOWN where an operation with permissions has no
 *   request, INVALID_REQUEST
 */
export async function askSamples(
  app: FastifyInstance,
  samples: AccessSamples,
): Promise<AskedOperation[]> {
  const { users, requests = {}, expected = {} } = samples
  assertKnown('access.ts', samples, { users, requests, expected })
  if (typeof requests !== 'function') return await askAll(app, samples, requests)
  const context = new Context(app)
  const ask = async () =>
    await askAll(app, samples, await runInContext(context, requests, context, undefined))
  return app.hasDecorator('db') ? await undone(app.db, ask) : await ask()
}

async function askAll(
  app: FastifyInstance,
  { users, expected = {} }: AccessSamples,
  requests: SampleRequests,
): Promise<AskedOperation[]> {
  const operations = exposed(app.registry)
  const names = Object.fromEntries(operations.map(({ name }) => [name, true]))
  assertKnown('requests of access.ts', requests, names)
  assertKnown('expected of access.ts', expected, names)
  for (const [name, row] of Object.entries(expected))
    assertKnown(`${name} in expected of access.ts`, row, users)
  const asked: AskedOperation[] = []
  for (const listing of operations) {
    const input = inputOf(app, listing, requests[listing.name])
    asked.push(await askOne(app, listing, input, users, expected[listing.name]))
  }
  return asked
}

async function askOne(
  app: FastifyInstance,
  listing: Listing,
  input: unknown,
  users: AccessSamples['users'],
  expected: Readonly<Partial<Record<string, Decision>>> = {},
): Promise<AskedOperation> {
  const { name, path, entry, access = PUBLIC } = listing
  const gets: Record<string, Decision> = {}
  const problems: string[] = []
  for (const [who, user] of Object.entries(users)) {
    const context = new Context(app)
    // Where everybody may, nobody is asked who it is.
    context.user = access.auth === 'public' || user === null ? undefined : user
    const { decision, failure } = await decide(listing, input, context)
    const wanted = expected[who] ?? decision
    gets[who] = decision
    if (failure) problems.push(`of ${who} nobody can tell: ${failure.message}`)
    else if (wanted !== decision) problems.push(`${who} gets ${decision}, expected ${wanted}`)
  }
  const { method = 'GET' } = entry.resource.definition
  return { operation: name, method, path, gets, problems }
}

/** @throws {PlinthError} RESOURCE_UNKNOWN, INVALID_REQUEST */
function inputOf(app: FastifyInstance, listing: Listing, request: object | undefined): unknown {
  const { name, entry, access } = listing
  if (request) return validateRequest(app, entry.resource, name, request)
  if (access && access.permissions.length > 0)
    throw errors.RESOURCE_UNKNOWN(name, 'it has permissions, and requests of access.ts none for it')
  return undefined
}

interface Decided {
  readonly decision: Decision
  /** Why nobody can tell. */
  readonly failure?: Error
}

async function decide(listing: Listing, input: unknown, context: Context): Promise<Decided> {
  const { name, entry, access } = listing
  try {
    await authorize({ resource: entry.resource, name, input, context, mode: 'cacheless', access })
    return { decision: await rowsOf(listing, input, context) }
  } catch (error) {
    const decision = PlinthError.is(error) ? error.statusCode : 500
    return decision < 500 ? { decision } : { decision, failure: error as Error }
  }
}

/** Which rows somebody has, who may call it. @throws {PlinthError} UNAUTHENTICATED where the scope wants a user */
async function rowsOf(
  { path, entry }: Listing,
  input: unknown,
  context: Context,
): Promise<Decision> {
  const { scope } = entry.resource.definition
  const model = scope && modelOfScope(scope)
  if (!scope) return 'yes'
  if (!model) return 'own rows'
  const { table, state } = model
  const row = (input ?? {}) as Record<string, unknown>
  // What is new may say its key, too, and is no row yet.
  const isOfRow = state.primaryKey.every((key) => key in row && path.split('/').includes(`:${key}`))
  const db = context.db as unknown as AnyTables
  let query = scope(context, db.selectFrom(table).select(state.primaryKey))
  if (!isOfRow) return 'own rows'
  for (const key of state.primaryKey) query = query.where(`${table}.${key}`, '=', row[key])
  return (await query.executeTakeFirst()) ? 'yes' : 404
}

/** What `work` comes to in a transaction, of which nothing stays. */
async function undone<T>(db: Database, work: () => Promise<T>): Promise<T> {
  const end = new Error('it is undone')
  let result: T | undefined
  const within = async () => {
    result = await work()
    throw end
  }
  await inTransaction(db, within).catch((error) => {
    if (error !== end) throw error
  })
  return result as T
}
