import { createWriteStream, openAsBlob } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { DiskFile, explainFull } from '../upstream/body.ts'

const received = new WeakMap<FastifyRequest, ReceivedFiles>()

/** The files of one request, in a folder that is removed when it has been answered and its handler has come to its end. */
export class ReceivedFiles {
  readonly #parent: string
  #folder: Promise<string> | undefined
  #count = 0
  // Its answer, and who still works with them.
  #users = 1

  /** @param parent default: the folder of the system for what is temporary */
  constructor(parent = tmpdir()) {
    this.#parent = parent
  }

  /** Writes one as it comes. @throws {PlinthError} STORAGE_FULL; what `source` or `check` throws */
  async write(
    source: Readable,
    check: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
    { name, type }: { name: string; type: string },
  ): Promise<DiskFile> {
    try {
      this.#folder ??= mkdtemp(join(this.#parent, 'plinth-upload-'))
      const path = join(await this.#folder, String(this.#count++))
      await pipeline(source, check, createWriteStream(path, { flags: 'wx', mode: 0o600 }))
      return new DiskFile(await openAsBlob(path, { type }), path, { name, isReceived: true })
    } catch (error) {
      throw explainFull(error)
    }
  }

  /** From now on they are those of `request`. */
  keepUntilAnswered(request: FastifyRequest, { raw }: FastifyReply): void {
    if (!this.#folder) return
    received.set(request, this)
    finished(raw, () => this.#release(request))
  }

  async keepFor<T>(request: FastifyRequest, work: () => T | Promise<T>): Promise<T> {
    this.#users++
    try {
      return await work()
    } finally {
      this.#release(request)
    }
  }

  async remove(): Promise<void> {
    // Where it could not be made there is nothing.
    const folder = await this.#folder?.catch(() => undefined)
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }

  #release({ log }: FastifyRequest): void {
    if (--this.#users > 0) return
    this.remove().catch((err: unknown) => log.warn({ err }, 'files of a request are left behind'))
  }
}

/** `handle`, which has the files of its request until it has come to its end, whoever has left meanwhile. */
export function keepingFiles(
  handle: (request: FastifyRequest) => unknown,
): (request: FastifyRequest) => unknown {
  return function serveWithFiles(request) {
    const files = received.get(request)
    return files ? files.keepFor(request, () => handle(request)) : handle(request)
  }
}
