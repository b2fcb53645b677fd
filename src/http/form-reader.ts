import type { Readable, Writable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import { requirePackages } from '../packages.ts'
import { problemOfContent, problemOfType, SIGNATURE_BYTES } from '../schema/file-type.ts'
import { collectYoung } from './collect-young.ts'
import { ReceivedFiles } from './received-files.ts'
import { contextOf } from './request-context.ts'

/** What is said of the files that a property has. */
export interface FileRule {
  /** How many there may be. */
  readonly most: number
  /** Bytes of each. */
  readonly maxBytes?: number | undefined
  readonly types?: readonly string[] | undefined
}

/** What a form may have. */
export interface FormRules {
  /** By the properties that are files. */
  readonly files: ReadonlyMap<string, FileRule>
  /** Bytes in all. */
  readonly most: number
  /** Bytes of all that is no file, which is in memory. */
  readonly texts: number
  /** Where files lie; default: where what is temporary does. */
  readonly folder?: string | undefined
}

/** Parts by their names; of one name several are a list. */
type Parts = Record<string, string | File | (string | File)[]>
export type ReadForm = (request: FastifyRequest, payload: Readable) => Promise<Parts>

/** Parts of a form beside files: more of them nobody fills in. */
const MAX_TEXTS = 1000

/**
 * Makes what reads forms, whose files go to the disk as they come.
 *
 * @throws {PlinthError} PACKAGE_MISSING
 */
export async function createFormReader(rules: FormRules): Promise<ReadForm> {
  requirePackages('resources', ['@fastify/busboy'])
  const { Busboy } = await import('@fastify/busboy')
  const files = Array.from(rules.files.values(), ({ most }) => most)
  const parts = files.reduce((sum, most) => sum + most, MAX_TEXTS)
  const limits = { fieldSize: rules.texts, ...(Number.isFinite(parts) && { parts }) }
  const createParser = (type: string) => {
    try {
      return new Busboy({ headers: { 'content-type': type }, limits })
    } catch (cause) {
      throw errors.BAD_REQUEST.with({ cause }, NO_FORM)
    }
  }
  return async (request, payload) => {
    const form = new Form(request, rules)
    try {
      const parser = createParser(String(request.headers['content-type']))
      parser.on('field', (name, value, _, isCut) => form.addText(name, value, isCut))
      parser.on('file', (field, stream, name, _, type) =>
        form.addFile(field, stream, { name, type }),
      )
      parser.on('partsLimit', () =>
        form.fail(errors.BAD_REQUEST(`the form has more than ${parts} parts`)),
      )
      return await form.read(payload, parser)
    } catch (error) {
      await form.remove()
      // It was late, and has been answered: nothing goes on from here.
      if (contextOf(request).reply?.sent) return await new Promise<never>(() => {})
      throw error
    }
  }
}

const NO_FORM = 'the form is not complete, or not divided by the boundary of its Content-Type'

/** A form while it comes. */
class Form {
  readonly #request: FastifyRequest
  readonly #rules: FormRules
  readonly #received: ReceivedFiles
  /** Undefined where a file is still to come, or there was none. */
  readonly #parts = new Map<string, (string | File | undefined)[]>()
  readonly #streams = new Set<Readable>()
  readonly #writing: Promise<void>[] = []
  readonly #failed = Promise.withResolvers<never>()
  #hasFailed = false
  #bytes = 0
  #texts = 0

  constructor(request: FastifyRequest, rules: FormRules) {
    this.#request = request
    this.#rules = rules
    this.#received = new ReceivedFiles(rules.folder)
    // It may fail once more when it has failed.
    this.#failed.promise.catch(() => {})
  }

  readonly fail = (error: unknown): void => {
    this.#hasFailed = true
    this.#failed.reject(error)
  }

  addText(name: string, value: string, isCut: boolean): void {
    const { texts } = this.#rules
    this.#texts += Buffer.byteLength(value)
    if (isCut || this.#texts > texts) this.fail(errors.PAYLOAD_TOO_LARGE(texts))
    else this.#place(name).push(value)
  }

  addFile(field: string, stream: Readable, file: { name: string; type: string }): void {
    // Who writes it hears of it.
    stream.on('error', () => {})
    // The parser may have some of the form left.
    if (this.#hasFailed) return void stream.resume()
    const rule = this.#rules.files.get(unquote(field))
    const list = this.#place(field)
    const told = { ...file, name: unquote(file.name) }
    if (!rule) {
      // What it is given for validation refuses.
      list.push(new File([], told.name))
      stream.resume()
      return
    }
    const index = list.push(undefined) - 1
    const path = `/${field}${rule.most > 1 ? `/${index}` : ''}`
    const problem =
      list.length > rule.most ? tooMany(rule.most) : problemOfType(rule.types, told.type)
    // A form of a page has a part without a name where nobody has chosen a file.
    if (problem && told.name !== '') this.#refuse(path, problem)
    else {
      this.#streams.add(stream)
      const writing = this.#write(stream, told, rule, path).then((written) => {
        list[index] = written
      })
      this.#writing.push(writing)
      writing.catch(this.fail)
    }
  }

  /** Until all of it is there. */
  async read(payload: Readable, parser: Writable): Promise<Parts> {
    const { signal, reply } = contextOf(this.#request)
    const leave = this.#feed(payload, parser, signal)
    try {
      const parsed = new Promise<void>((resolve) => parser.once('finish', resolve))
      await Promise.race([parsed, this.#failed.promise])
      await Promise.race([Promise.all(this.#writing), this.#failed.promise])
    } finally {
      leave()
    }
    if (reply) this.#received.keepUntilAnswered(this.#request, reply)
    const entries = Array.from(this.#parts, ([name, list]) => {
      const [first, ...more] = list.filter((one) => one !== undefined)
      return [name, more.length > 0 ? [first, ...more] : first] as const
    })
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Parts
  }

  /** Ends what is being written, and removes it. */
  async remove(): Promise<void> {
    for (const stream of this.#streams) stream.destroy()
    await Promise.allSettled(this.#writing)
    await this.#received.remove()
  }

  /** @returns ends it; what is not read yet is for who answers */
  #feed(payload: Readable, parser: Writable, signal: AbortSignal): () => void {
    const { most } = this.#rules
    const { fail } = this
    const broken = (cause: unknown) => fail(errors.BAD_REQUEST.with({ cause }, NO_FORM))
    const take = (chunk: Buffer) => {
      this.#bytes += chunk.length
      if (this.#bytes > most) return fail(errors.PAYLOAD_TOO_LARGE(most))
      try {
        if (!parser.write(chunk)) payload.pause()
      } catch (cause) {
        broken(cause)
      }
    }
    const goOn = () => payload.resume()
    const end = () => parser.end()
    const close = () => {
      if (!payload.readableEnded) fail(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))
    }
    const abort = () => fail(signal.reason)
    payload.on('data', take).once('end', end).once('error', fail).once('close', close)
    parser.on('drain', goOn).on('error', broken)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    return () => {
      payload.off('data', take).off('end', end).off('close', close).pause()
      // It may break when nobody listens any more.
      payload.off('error', fail).on('error', () => {})
      parser.off('drain', goOn)
      signal.removeEventListener('abort', abort)
    }
  }

  async #write(
    stream: Readable,
    file: { name: string; type: string },
    rule: FileRule,
    path: string,
  ): Promise<File | undefined> {
    const refuse = (problem: string) => this.#invalid(path, problem)
    const check = (chunks: AsyncIterable<Buffer>) =>
      checkBytes(chunks, { ...rule, type: file.type, refuse })
    const isNone = (size: number) => size === 0 && file.name === ''
    const written = await this.#received.write(stream, check, file)
    this.#streams.delete(stream)
    return isNone(written.size) ? undefined : written
  }

  #place(field: string): (string | File | undefined)[] {
    const name = unquote(field)
    const known = this.#parts.get(name) ?? []
    this.#parts.set(name, known)
    return known
  }

  #refuse(path: string, problem: string): void {
    this.fail(this.#invalid(path, problem))
  }

  #invalid(path: string, message: string): Error {
    const { resource = 'this route' } = this.#request.routeOptions.config
    return errors.INVALID_REQUEST.with({ errors: [{ path, message }] }, resource)
  }
}

function tooMany(most: number): string {
  return most === 1 ? 'is given more than once' : `is more than the ${most} that there may be`
}

/** As browsers write what would end a name (HTML, 4.10.21.8). */
function unquote(name = ''): string {
  return name.replaceAll(/%(?:22|0A|0D)/gi, decodeURIComponent)
}

/** What a file has to be. */
interface ByteRule extends Pick<FileRule, 'maxBytes' | 'types'> {
  readonly type: string
  readonly refuse: (problem: string) => Error
}

/**
 * The bytes of a file as they come, as far as they are what was said.
 *
 * @throws {PlinthError} PAYLOAD_TOO_LARGE, and what `refuse` makes
 */
export async function* checkBytes(
  chunks: AsyncIterable<Buffer>,
  { maxBytes = Number.POSITIVE_INFINITY, types, type, refuse }: ByteRule,
): AsyncGenerator<Buffer> {
  const assertType = (head: Buffer) => {
    const problem = types && problemOfContent(type, head)
    if (problem) throw refuse(problem)
  }
  let size = 0
  // Until there is enough of it to tell what it is.
  let head = types && Buffer.alloc(0)
  for await (const chunk of chunks) {
    size += chunk.length
    collectYoung(chunk.length)
    if (size > maxBytes) throw errors.PAYLOAD_TOO_LARGE(maxBytes)
    if (!head) {
      yield chunk
      continue
    }
    head = Buffer.concat([head, chunk])
    if (head.length < SIGNATURE_BYTES) continue
    assertType(head)
    yield head
    head = undefined
  }
  if (!head) return
  assertType(head)
  yield head
}
