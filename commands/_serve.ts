import cluster from 'node:cluster'
import { resolve } from 'node:path'
import type { Address, Place } from '../src/process/group.ts'
import { endWhenStuck, fail, startSmall, stay } from './_stay.ts'

export interface Where {
  /** Default: HOST. */
  host?: string | undefined
  /** Default: PORT; 0 takes a free one. */
  port?: number | undefined
  /** The path of a unix socket in place of them. */
  socket?: string | undefined
}

/**
 * Serves the service that the script belongs to, until a signal ends the process, or too many of the tasks that it works on go on
 * after their time: where it is told, else on the socket that systemd passes, else at HOST and PORT.
 *
 * @param script the real path of the script that was started
 * @throws {PlinthError} PORT_IN_USE, ADDRESS_UNUSABLE, SOCKET_IN_USE, SOCKET_UNUSABLE, and what `createApp` throws
 */
export async function serve(script: string, where: Where = {}): Promise<void> {
  startSmall()
  const group = cluster.isWorker ? await import('../src/process/group.ts') : undefined
  const membership = group?.findMembership()
  if (membership) await group?.waitForTurn(membership, preload)
  await stay(script, async (app, ending) => {
    const { listen } = await import('./_listen.ts')
    const place = membership?.place ?? (await placeOf(where))
    const address = addressOf(place, app.config)
    if (membership) await group?.listenInGroup(app, membership, ending, () => listen(app, address))
    else await listen(app, address)
    void endWhenStuck(app, group && membership ? group.askForAnother : () => fail(ending))
  })
}

/** What serving loads, so that a process that waits for its turn has it by then: of the kit, and what Fastify and the kit load with the first app and schema. */
async function preload(): Promise<void> {
  const [{ default: Fastify }, { compileExact }, { compileSerializer }, { validator }] =
    await Promise.all([
      import('fastify'),
      import('../src/schema/validate.ts'),
      import('../src/schema/serialize.ts'),
      import('../src/config/ajv.ts'),
      import('../src/index.ts'),
      import('../src/service.ts'),
      import('../src/process/load.ts'),
      import('../src/process/server-options.ts'),
      import('../src/process/shutdown.ts'),
      import('../src/http/serve-resources.ts'),
      import('./_listen.ts'),
    ])
  validator()
  compileExact(SCHEMA)
  compileSerializer(SCHEMA)
  const app = Fastify({ logger: { level: 'silent' } })
  app.get('/', { schema: { querystring: SCHEMA, response: { 200: SCHEMA } } }, async () => ({}))
  await app.ready()
  await app.close()
}

const SCHEMA = { type: 'object', properties: { id: { type: 'integer', minimum: 1 } } }

/** Where `where` says, else the socket that systemd has passed. @throws {PlinthError} SOCKET_UNUSABLE */
export async function placeOf(where: Where): Promise<Place> {
  const said = saidBy(where)
  if (Object.keys(said).length > 0 || !process.env.LISTEN_PID) return said
  const { passedSocket } = await import('./_listen.ts')
  return passedSocket() ?? said
}

/** Where `where` says: as far as it does. */
export function saidBy({ host, port, socket }: Where): Place {
  if (socket !== undefined) return { path: resolve(socket) }
  return { ...(host !== undefined && { host }), ...(port !== undefined && { port }) }
}

function addressOf(place: Place, { HOST, PORT }: { HOST: string; PORT: number }): Address {
  if ('path' in place || 'fd' in place) return place
  const { host = HOST, port = PORT } = place
  return { host, port }
}
