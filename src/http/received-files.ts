import { hash } from 'node:crypto'
import { createWriteStream, openAsBlob, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { DiskFile, explainFull } from '../upstream/body.ts'

const received = new WeakMap<FastifyRequest, ReceivedFiles>()

/** Processes of containers that share a folder may have the same number: each of those has a name of its own. */
const HOST = hash('sha256', hostname()).slice(0, 8)
const OWN = `plinth-upload-${HOST}-${process.pid}-${startOf(process.pid) ?? 0}-`

/** Takes away what processes of this machine have left in `parent` that were killed. Once for each folder: no others of this process are. */
export function sweepReceived(parent = tmpdir()): void {
  if (swept.has(parent)) return
  swept.add(parent)
  sweepFolders(parent, (name) => {
    const [, host, pid, start] = /^plinth-upload-(\w+)-(\d+)-(\d+)-/.exec(name) ?? []
    if (host !== HOST) return false
    if (!isAlive(Number(pid))) return true
    // Its number may be another's by now: in a container each is the first.
    const begun = startOf(Number(pid))
    return begun !== undefined && begun !== start
  })
}

const swept = new Set<string>()

/** Takes away the folders in `parent` of which `isLeft` is true. */
export function sweepFolders(parent: string, isLeft: (name: string) => boolean): void {
  for (const name of readFolder(parent)) {
    if (!isLeft(name)) continue
    try {
      rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // It is somebody else's, or another process does the same.
    }
  }
}

function readFolder(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    // What needs it says so.
    return []
  }
}

/** Whether there is a process of that id. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** When a process has begun, as its machine counts; `undefined` where that is not told: not on Linux. */
function startOf(pid: number): string | undefined {
  try {
    // The name of the program, in brackets, may have anything in it.
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[19]
  } catch {
    return undefined
  }
}

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
      this.#folder ??= mkdtemp(join(this.#parent, OWN))
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
