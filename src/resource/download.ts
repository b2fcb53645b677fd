import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { DiskFile, type FileValue, openFile } from '../upstream/body.ts'
import { type ByteAnswer, type Sending, sendingOf, sentAs } from './stream.ts'

export interface DownloadOptions {
  /** Its media type; default: that of the content where it says one, else that of the response schema. */
  type?: string
  /** Whether a browser shows it, as far as it can, in place of saving it; default false. */
  inline?: boolean
}

/**
 * What `perform` answers with for its client to get a file: of a resource whose response is `stream()`. With `stream(type, { ranges: true })` clients may
 * ask for parts of what has a known size: a Blob, bytes, or a file on disk (`fileAt`), of which `ETag` and `Last-Modified` tell the state, too.
 *
 * @param name what the client calls it
 * @param content what is in it, also of `rows()`
 */
export function download(
  name: string,
  content: FileValue,
  { type, inline = false }: DownloadOptions = {},
): ByteAnswer {
  const source = sourceOf(content)
  const { 'content-type': own } = sendingOf(content)?.headers ?? {}
  const told = type ?? own ?? source.type
  const headers = {
    'content-disposition': dispositionOf(inline ? 'inline' : 'attachment', name),
    // Nobody shall take what users have uploaded for a page of the service.
    'x-content-type-options': 'nosniff',
    ...(told && { 'content-type': told }),
    ...(content instanceof DiskFile && stateOf(content)),
  }
  const { stream, size, part } = source
  return sentAs(stream, { headers, ...(size !== undefined && part && { size, part }) })
}

interface Source extends Omit<Sending, 'headers'> {
  readonly stream: Readable
  readonly type?: string
}

function sourceOf(content: FileValue): Source {
  if (content instanceof Uint8Array)
    return known(content.length, (start, end) => Readable.from([content.subarray(start, end)]))
  if (content instanceof DiskFile) {
    const { path, size, type } = content
    const read = (start: number, end: number) => createReadStream(path, { start, end: end - 1 })
    return { ...known(size, read), type }
  }
  if (content instanceof Blob) {
    const read = (start: number, end: number) => openFile(content.slice(start, end)).stream
    return { ...known(content.size, read), type: content.type }
  }
  const { stream, type } = openFile(content)
  return { stream, ...('type' in content && { type }) }
}

/** What can be read in parts is opened when somebody reads it. */
function known(size: number, read: (start: number, end: number) => Readable): Source {
  const part = (start: number, end: number): Readable =>
    Readable.from(
      exactly(end - start, () => read(start, end)),
      { objectMode: false },
    )
  return { stream: part(0, size), size, part }
}

/** So many bytes as were announced: with fewer its client would wait for the rest. @throws {Error} where they are not there */
async function* exactly(size: number, open: () => Readable): AsyncGenerator<Buffer> {
  let left = size
  if (left === 0) return
  for await (const chunk of open()) {
    left -= (chunk as Buffer).length
    yield chunk as Buffer
  }
  if (left !== 0) throw new Error(`it has changed while it was sent: ${left} bytes are missing`)
}

function stateOf({ lastModified, size }: DiskFile): Record<string, string> {
  return {
    etag: `"${Math.floor(lastModified).toString(16)}-${size.toString(16)}"`,
    'last-modified': new Date(lastModified).toUTCString(),
  }
}

/** RFC 6266: the name in ASCII for who knows nothing else, and the whole of it (RFC 8187). */
function dispositionOf(kind: 'inline' | 'attachment', name: string): string {
  // A name is no path, and no header has line ends.
  const safe = name.toWellFormed().replaceAll(/[\p{Cc}/\\]/gu, '_')
  const plain = safe.replaceAll(/[^\x20-\x7e]|["%]/gu, '_')
  const quoted = `${kind}; filename="${plain}"`
  if (plain === safe) return quoted
  const encoded = encodeURIComponent(safe).replaceAll(
    /['()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${quoted}; filename*=UTF-8''${encoded}`
}
