import { readFileSync } from 'node:fs'
import { CLIError } from '@oclif/core/errors'
import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import type { LoadRequest } from '../src/process/load-clients.ts'

/** A request by its path, and whether somebody has asked for it. */
export interface Wanted extends Omit<LoadRequest, 'url'> {
  readonly path: string
  readonly isAsked?: boolean
  /** The resource that is also enqueued as a task. */
  readonly resource?: string
}

export interface Header {
  readonly name: string
  readonly value: string
}

/** @throws {CLIError} wrong usage */
export function readRequest(text: string): Wanted {
  const [, method, path = '', body = ''] = /^([A-Z]+) (\/\S*)(?:\s+(.+))?$/s.exec(text) ?? []
  const fail = (problem: string) => new CLIError(`--request ${text}: ${problem}`, { exit: 2 })
  if (!method) throw fail('expected METHOD /path, and a body where it has one')
  const asked = { method, path, isAsked: true }
  if (body === '') return asked
  try {
    if (body.startsWith('@')) {
      const headers = { 'content-type': 'application/octet-stream' }
      return { ...asked, headers, body: readFileSync(body.slice(1)) }
    }
    JSON.parse(body)
    return { ...asked, headers: { 'content-type': 'application/json' }, body }
  } catch (error) {
    throw fail((error as Error).message)
  }
}

/** @throws {CLIError} wrong usage */
export function readHeader(text: string): Header {
  const [, name, value] = /^([\w-]+): *(.+)$/.exec(text) ?? []
  if (name && value) return { name: name.toLowerCase(), value }
  throw new CLIError(`--header ${text}: expected name: value`, { exit: 2 })
}

/** What can be asked for without knowing anything: it has no parameters that have to be there, and changes nothing. */
export async function safeRequests({ registry }: FastifyInstance): Promise<Wanted[]> {
  const { isEventSchema, isStreamSchema } = await import('../src/resource/stream.ts')
  return Array.from(registry.listings()).flatMap(({ name, path, exposed, module, entry }) => {
    const { method = 'GET' } = entry.resource.definition
    const { required = [] } = entry.resource.request as { required?: readonly string[] }
    const isSafe = exposed && module.runsHere && method === 'GET' && required.length === 0
    // Events have no end.
    if (!isSafe || isEventSchema(entry.resource.response) || /[:*]/.test(path)) return []
    return [{ path, ...(!isStreamSchema(entry.resource.response) && { resource: name }) }]
  })
}

/** The requests that there will be. */
export class Chosen {
  readonly names: string[] = []
  readonly leftOut: string[] = []
  /** The resources behind those that answer. */
  readonly resources: string[] = []
  readonly #wanted: readonly Wanted[]
  readonly #requests: LoadRequest[] = []
  #last = 0

  /** @param headers what all of them have */
  constructor(wanted: readonly Wanted[], headers: readonly Header[]) {
    const all = Object.fromEntries(headers.map(({ name, value }) => [name, value]))
    this.#wanted = wanted.map((one) => ({ ...one, headers: { ...all, ...one.headers } }))
  }

  /**
   * Makes each once, while nothing is restarted: one that fails by itself would tell nothing.
   *
   * @throws {PlinthError} ROLLOUT_UNTESTED where one that was asked for does, or none is left
   */
  async probe(url: string): Promise<void> {
    const { makeRequest } = await import('../src/process/load-clients.ts')
    for (const { path, isAsked, resource, ...rest } of this.#wanted) {
      const request = { ...rest, url: url + path }
      const name = `${rest.method ?? 'GET'} ${path}`
      const { problem } = await makeRequest(request, 'fresh')
      if (problem && isAsked)
        throw errors.ROLLOUT_UNTESTED(`${name} fails before anything is restarted: ${problem}`)
      if (problem) this.leftOut.push(`${name}: ${problem}`)
      else {
        this.names.push(name)
        this.#requests.push(request)
        if (resource) this.resources.push(resource)
      }
    }
    if (this.#requests.length > 0) return
    const why = 'no GET route answers without input; name some requests with --request'
    throw errors.ROLLOUT_UNTESTED([why, ...this.leftOut].join('\n'))
  }

  next(): LoadRequest {
    return this.#requests[this.#last++ % this.#requests.length] as LoadRequest
  }
}

/** What enqueues as tasks, in turns, what is requested; where there are tasks for a worker. */
export async function enqueuer(app: FastifyInstance, chosen: Chosen) {
  if (!app.hasDecorator('tasks') || app.tasks.store === 'memory') return undefined
  const { bindResource } = await import('../src/resource/resource.ts')
  let last = 0
  return async () => {
    const name = chosen.resources[last++ % chosen.resources.length]
    if (name === undefined) return undefined
    const { resource } = app.registry.find(name)
    // For the service itself: who may ask for it over HTTP is not what is tested.
    const task = await bindResource(resource, (fn) => app.run(fn)).enqueue({}, { user: null })
    return task.task_id
  }
}
