import cluster from 'node:cluster'
import type { FastifyInstance } from 'fastify'
import { errors } from '../errors.ts'
import { scheduledOf } from '../resource/task-source.ts'
import type { Ending } from './shutdown.ts'

/** What a process of a group tells its supervisor; `plinth` says what it is about. */
export type FromMember =
  /** That it has loaded what it can without the service, and waits for its turn. */
  | { readonly plinth: 'waiting' }
  /** That it serves, and how many ms it may take to end. */
  | { readonly plinth: 'serving'; readonly patience: number }
  /** That another is to take its place: it serves on until then. */
  | { readonly plinth: 'worn' }
  /** How many bytes of memory it takes (RSS): once a second, by which it is known to live. */
  | { readonly plinth: 'memory'; readonly rss: number }

/** What it is told. */
export type ToMember =
  /** Its turn has come. */
  | { readonly plinth: 'begin' }
  /** Others take its place, so that it can finish what it has, and end; `hurried`: it waits for no client. */
  | { readonly plinth: 'retire'; readonly hurried: boolean }
  /** All of them end by a signal; `isSecond`: at once. */
  | { readonly plinth: 'all end'; readonly signal: NodeJS.Signals; readonly isSecond: boolean }

/** Where a server listens: at a port, a unix socket, or a socket that it has been passed. */
export type Address =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }
  | { readonly fd: number }

/** An address as far as it was told; the rest is that of HOST and PORT. */
export type Place = Address | { readonly host?: string; readonly port?: number }

/** The variable by which a process knows that it is one of several: JSON of {@link Membership}. */
export const GROUP = 'PLINTH_GROUP'

export interface Membership {
  /** How many there are. */
  readonly count: number
  /** Where they listen. */
  readonly place: Place
  /** Whether it is to wait for its turn before it loads the service. */
  readonly waits?: boolean
}

/** What this process is of a group, where it is. */
export function findMembership(): Membership | undefined {
  const told = process.env[GROUP]
  return cluster.isWorker && told ? JSON.parse(told) : undefined
}

/**
 * Where this process is to wait for its turn: waits for it.
 *
 * @param load loads meanwhile what does not depend on the service
 */
export async function waitForTurn(
  { waits }: Membership,
  load: () => Promise<unknown>,
): Promise<void> {
  if (!waits) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const listen = ({ plinth }: ToMember) => {
    if (plinth === 'begin') resolve()
  }
  process.channel?.ref()
  process.on('message', listen)
  // What is missing is told by what needs it.
  await load().catch(() => {})
  tell({ plinth: 'waiting' })
  await promise
  process.off('message', listen)
  process.channel?.unref()
}

/**
 * Lets a process listen as one of its group: what its supervisor asks for it does then.
 *
 * @param ending how it ends
 * @throws {PlinthError} REDIS_MISSING where each of them would start what has a schedule; what `listen` throws
 */
export async function listenInGroup(
  app: FastifyInstance,
  { count }: Membership,
  ending: Ending,
  listen: () => Promise<void>,
): Promise<void> {
  // Not for what this process starts.
  delete process.env[GROUP]
  // What keeps it alive: it has no socket of its own to listen on. bin/_child.js has let go of it.
  process.channel?.ref()
  refuseLost()
  try {
    assertShareable(app, count)
    await listen()
  } catch (error) {
    process.channel?.unref()
    throw error
  }
  join(ending)
}

/** Looks at what each of the processes would have for itself. @throws {PlinthError} REDIS_MISSING */
function assertShareable(app: FastifyInstance, count: number): void {
  if (count < 2) return
  const ownTasks = app.hasDecorator('tasks') && app.tasks.store === 'memory'
  if (ownTasks && scheduledOf(app).length > 0)
    throw errors.REDIS_MISSING('The schedules', 'REDIS_URL or DATABASE_URL')
  if (app.hasDecorator('redis')) return
  // Once is enough.
  if (cluster.worker?.id === 1)
    app.log.warn(
      `each of the ${count} processes has a cache${ownTasks ? ', tasks' : ''} and counts of rate limits of its own, where no other can see them; set REDIS_URL`,
    )
}

const TELL = 1000

const tell = (message: FromMember) => process.send?.(message, () => {})

/** Has another process take the place of this one, which ends when that serves. */
export function askForAnother(): void {
  tell({ plinth: 'worn' })
}

function join({ patience, retire, endWithOthers }: Ending): void {
  // Node.js would end it at once when the supervisor dies; it ends in order then, as at SIGTERM: bin/_child.js.
  if (cluster.worker) cluster.worker.exitedAfterDisconnect = true
  process.on('message', (message: ToMember) => {
    if (message.plinth === 'retire') retire(message.hurried)
    else if (message.plinth === 'all end') endWithOthers(message.signal, message.isSecond)
  })
  tell({ plinth: 'serving', patience })
  let rss = process.memoryUsage.rss()
  const timer = setInterval(() => {
    try {
      rss = process.memoryUsage.rss()
    } catch {
      // Out of descriptors: that reads a file. It lives all the same.
    }
    tell({ plinth: 'memory', rss })
  }, TELL)
  timer.unref()
}

/** What `node:cluster` hands over a connection with, as far as it is looked at. */
interface HandOver {
  readonly cmd?: string
  readonly msg?: { readonly act?: string; readonly seq?: number }
}

/**
 * Refuses a connection that was handed over while this process was out of descriptors, as a process of its own would: it is closed. `node:cluster`
 * says nothing then, the supervisor waits for word of it for ever, and hands over no other; so the word that it waits for is sent.
 */
function refuseLost(): void {
  process.on('internalMessage', ({ cmd, msg }: HandOver, handle?: unknown) => {
    if (cmd !== 'NODE_HANDLE' || handle || msg?.act !== 'newconn') return
    process.send?.({ cmd: 'NODE_CLUSTER', ack: msg.seq, accepted: true }, () => {})
  })
}
