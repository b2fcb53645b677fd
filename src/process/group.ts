import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.ts'
import { scheduledOf } from '../resource/task-source.ts'
import type { Ending } from './shutdown.ts'

/** What a process of a group tells its supervisor. */
export type FromMember =
  /** That it serves, and how many ms it may take to end. */
  | { readonly plinth: 'serving'; readonly patience: number }
  /** How many bytes of memory it takes (RSS). */
  | { readonly plinth: 'memory'; readonly rss: number }

/** What it is told: others accept connections in its place, so that it can finish what it has, and end. */
export interface ToMember {
  readonly plinth: 'retire'
}

/** Where a server listens: at a port, a unix socket, or a socket that it has been passed. */
export type Address =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }
  | { readonly fd: number }

/** The variable by which a process knows that it is one of several: JSON of {@link Membership}. */
export const GROUP = 'PLINTH_GROUP'

export interface Membership {
  /** How many there are. */
  readonly count: number
  /** Where they listen; default: at HOST and PORT. */
  readonly address?: Address | undefined
}

/**
 * Lets a process listen, as one of its group where it is one: what its supervisor asks for it does then.
 *
 * @param ending how it ends
 * @param listen lets it listen where it is told, else where it would alone
 * @throws {PlinthError} REDIS_MISSING where each of them would start what has a schedule; what `listen` throws
 */
export async function listenInGroup(
  app: FastifyInstance,
  ending: Ending,
  listen: (shared?: Address) => Promise<void>,
): Promise<void> {
  const told = process.env[GROUP]
  // Not for what this process starts.
  delete process.env[GROUP]
  if (!cluster.isWorker || !told) return await listen()
  const { count, address }: Membership = JSON.parse(told)
  // What keeps it alive: it has no socket of its own to listen on. bin/_child.js has let go of it.
  process.channel?.ref()
  try {
    assertShareable(app, count)
    await listen(address)
  } catch (error) {
    process.channel?.unref()
    throw error
  }
  join(ending)
}

/** Looks at what each of the processes would have for itself. @throws {PlinthError} REDIS_MISSING */
function assertShareable(app: FastifyInstance, count: number): void {
  if (count < 2 || app.hasDecorator('redis')) return
  if (scheduledOf(app).length > 0) throw errors.REDIS_MISSING('The schedules')
  // Once is enough.
  if (cluster.worker?.id === 1)
    app.log.warn(
      `each of the ${count} processes has a cache, tasks and counts of rate limits of its own, where no other can see them; set REDIS_URL`,
    )
}

const TELL = 1000

function join({ patience, retire }: Ending): void {
  // Node.js would end it at once when the supervisor dies; it ends in order then, as at SIGTERM: bin/_child.js.
  if (cluster.worker) cluster.worker.exitedAfterDisconnect = true
  const tell = (message: FromMember) => process.send?.(message, () => {})
  process.on('message', ({ plinth }: ToMember) => {
    if (plinth === 'retire') retire()
  })
  tell({ plinth: 'serving', patience })
  const timer = setInterval(() => tell({ plinth: 'memory', rss: process.memoryUsage.rss() }), TELL)
  timer.unref()
}
