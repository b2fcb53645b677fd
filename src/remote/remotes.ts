import { readFileSync, writeFileSync } from 'node:fs'
import { errors } from '../errors.ts'
import { asRecordedClient, type RecordedClient } from './recorded-client.ts'

/** What a process knows of itself as a client of other services. */
export class Remotes {
  /** Its name and version, `orders/1.2.0`, which it tells those that it calls. */
  readonly client: string
  readonly #uses = new Map<string, Set<string>>()

  constructor(client: string) {
    this.client = client
  }

  /** Remembers that a resource of another service was called. */
  record(service: string, resource: string): void {
    const known = this.#uses.get(service)
    if (known) known.add(resource)
    else this.#uses.set(service, new Set([resource]))
  }

  /**
   * Writes what was called into `file`, with what is there already: processes of one service, and runs of its tests, add to it.
   *
   * @throws {PlinthError} FILE_UNWRITABLE
   */
  write(file: string): void {
    const known = read(file)
    for (const [service, names] of Object.entries(known))
      for (const name of names) this.record(service, name)
    const entries = Array.from(
      this.#uses,
      ([service, names]) => [service, [...names].sort()] as const,
    )
    const uses = Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
    try {
      writeFileSync(file, `${JSON.stringify({ client: this.client, uses }, null, 2)}\n`)
    } catch (cause) {
      throw errors.FILE_UNWRITABLE.with({ cause }, file, (cause as Error).message)
    }
  }
}

/** What was written before; nothing where the file is not there, or is another one. */
function read(file: string): RecordedClient['uses'] {
  try {
    return asRecordedClient(JSON.parse(readFileSync(file, 'utf8'))).uses
  } catch {
    return {}
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Which other services it has called, and as whom; not there where nothing says who it is. */
    remotes?: Remotes
  }
}
