import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream, openAsBlob } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { errors } from '../errors.ts'

/** Bytes that come one after the other. */
export type ByteStream = Readable | ReadableStream<Uint8Array>

/** A stream as a part of a form, with what nobody can see of it. */
export interface Upload {
  readonly stream: ByteStream
  /** Of the file; default: that of the part. */
  readonly name?: string
  /** Its media type; default `application/octet-stream`. */
  readonly type?: string
  /** Bytes, where they are known: else the form has no length before its end. */
  readonly size?: number
}

/** What is sent as a file. */
export type FileValue = Blob | ByteStream | Upload | Uint8Array

/** A file on a disk of this machine, of which nothing is in memory. */
export class DiskFile extends File {
  readonly path: string
  /** Whether it lies there for this request alone, and whoever keeps it may move it away. */
  readonly isReceived: boolean

  constructor(
    content: Blob,
    path: string,
    told: { name: string; lastModified?: number; isReceived?: boolean },
  ) {
    const { name, lastModified = Date.now(), isReceived = false } = told
    super([content], name, { type: content.type, lastModified })
    this.path = path
    this.isReceived = isReceived
  }
}

/**
 * The file at `path`, to be sent, stored or downloaded.
 *
 * @param options `name`: default: the last part of the path; `type`: its media type, default: none is told
 * @throws {Error} ENOENT and other errors of the system
 */
export async function fileAt(
  path: string,
  { name = basename(path), type = '' }: { name?: string; type?: string } = {},
): Promise<DiskFile> {
  const { mtimeMs } = await stat(path)
  const lastModified = Math.floor(mtimeMs)
  return new DiskFile(await openAsBlob(path, { type }), path, { name, lastModified })
}

/**
 * Writes a file to `path`, as a whole or not at all: beside it first, under another name. One that has come in a form and lies on the same disk already
 * is moved there. What was at `path` is replaced.
 *
 * @returns bytes
 * @throws {PlinthError} STORAGE_FULL; errors of the system; what reading it fails with, as where its client leaves
 */
export async function saveFile(file: FileValue, path: string): Promise<number> {
  if (file instanceof DiskFile && file.isReceived && (await isMoved(file.path, path)))
    return file.size
  const part = `${path}.${randomUUID()}.part`
  try {
    const target = createWriteStream(part, { flags: 'wx' })
    await pipeline(openFile(file).stream, target)
    await rename(part, path)
    return target.bytesWritten
  } catch (error) {
    await rm(part, { force: true })
    throw explainFull(error)
  }
}

async function isMoved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EXDEV') return false
    throw error
  }
}

/** STORAGE_FULL where that is what an error of the system means, else the error itself. */
export function explainFull(error: unknown): unknown {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT' ? errors.STORAGE_FULL.with({ cause: error }) : error
}

/** A body as it is sent, and what headers say of it. */
export interface EncodedBody {
  readonly body: string | Uint8Array | Readable
  readonly headers: Record<string, string>
}

export function isFileValue(value: unknown): value is FileValue {
  if (value instanceof Blob || value instanceof Uint8Array) return true
  return isByteStream(value) || isByteStream((value as Partial<Upload> | null)?.stream)
}

/** A file to be read. */
export interface OpenedFile extends Omit<Upload, 'stream' | 'type'> {
  readonly stream: Readable
  /** Its media type. */
  readonly type: string
}

/** Opens a file, whichever way it has come; whoever opens it reads its stream, or destroys that. */
export function openFile(file: FileValue): OpenedFile {
  const { content, type, name, size } = contentOf(file)
  const told = { type, ...(name !== undefined && { name }), ...(size !== undefined && { size }) }
  if (content instanceof Readable) return { ...told, stream: content }
  if (content instanceof DiskFile) return { ...told, stream: createReadStream(content.path) }
  const chunks = content instanceof Uint8Array ? [content] : chunksOf(content)
  return { ...told, stream: owning(Readable.from(chunks, { objectMode: false }), [content]) }
}

/** The media type that a file says it has. */
export function typeOfFile(file: FileValue): string {
  return contentOf(file).type
}

function isByteStream(value: unknown): value is ByteStream {
  return value instanceof Readable || value instanceof ReadableStream
}

interface Part {
  readonly head: string
  readonly content: Uint8Array | Blob | ByteStream
  /** Bytes. */
  readonly size: number | undefined
}

/** Encodes `fields` as multipart/form-data (RFC 7578); a list is one part for each of its items. What streams is read as it is sent. */
export function encodeMultipart(fields: Readonly<Record<string, unknown>>): EncodedBody {
  const boundary = `plinth-${randomUUID()}`
  const parts = Object.entries(fields).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => (one === undefined ? [] : [toPart(name, one, boundary)])),
  )
  const end = `--${boundary}--\r\n`
  async function* write() {
    for (const { head, content } of parts) {
      yield Buffer.from(head)
      yield* content instanceof Uint8Array ? [content] : chunksOf(content)
      yield Buffer.from('\r\n')
    }
    yield Buffer.from(end)
  }
  const length = parts.reduce(
    (sum, { head, size = Number.NaN }) => sum + Buffer.byteLength(head) + size + 2,
    Buffer.byteLength(end),
  )
  return {
    body: owning(
      Readable.from(write(), { objectMode: false }),
      parts.map(({ content }) => content),
    ),
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      ...(!Number.isNaN(length) && { 'content-length': `${length}` }),
    },
  }
}

/** One file as the whole body. */
export function encodeFile(file: FileValue): EncodedBody {
  const { content, type, size } = contentOf(file)
  const body =
    content instanceof Uint8Array
      ? content
      : owning(Readable.from(chunksOf(content), { objectMode: false }), [content])
  return {
    body,
    headers: {
      'content-type': type,
      ...(size !== undefined && { 'content-length': `${size}` }),
    },
  }
}

function toPart(field: string, value: unknown, boundary: string): Part {
  const named = `--${boundary}\r\ncontent-disposition: form-data; name="${quote(field)}"`
  if (isFileValue(value)) {
    const { content, name = field, type, size } = contentOf(value)
    const head = `${named}; filename="${quote(name)}"\r\ncontent-type: ${type}\r\n\r\n`
    return { head, content, size }
  }
  const isData = typeof value === 'object' && value !== null
  const content = Buffer.from(isData ? JSON.stringify(value) : String(value ?? ''))
  const type = isData ? '\r\ncontent-type: application/json' : ''
  return { head: `${named}${type}\r\n\r\n`, content, size: content.length }
}

interface Content extends Pick<Part, 'content' | 'size'> {
  readonly name?: string | undefined
  readonly type: string
}

const BYTES = 'application/octet-stream'

function contentOf(file: FileValue): Content {
  if (file instanceof Uint8Array) return { content: file, size: file.length, type: BYTES }
  if (file instanceof Blob) {
    const name = file instanceof File ? file.name : undefined
    return { content: file, size: file.size, type: oneLine(file.type) || BYTES, name }
  }
  if (isByteStream(file)) return { content: file, size: undefined, type: BYTES }
  const { stream, size, type = BYTES, name } = file as Upload
  return { content: stream, size, type: oneLine(type), name }
}

// As browsers write them (HTML, 4.10.21.8).
function quote(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function oneLine(type: string): string {
  return type.replaceAll(/[\r\n]/g, '')
}

async function* chunksOf(content: Blob | ByteStream): AsyncGenerator<Uint8Array> {
  yield* (content instanceof Blob ? content.stream() : content) as AsyncIterable<Uint8Array>
}

/** Lets `body` end what it is made of, and break with it, also where nobody has begun to read it. */
function owning(body: Readable, contents: readonly Part['content'][]): Readable {
  const end = () => {
    for (const content of contents) {
      if (content instanceof Readable) content.destroy()
      else if (content instanceof ReadableStream && !content.locked)
        content.cancel().catch(() => {})
    }
  }
  for (const content of contents)
    if (content instanceof Readable)
      content.on('error', (error) => {
        body.destroy(error)
        // It closes only when the one that it reads has given something, or has ended.
        end()
      })
  // It may break before it is sent.
  return body.on('error', () => {}).once('close', end)
}
