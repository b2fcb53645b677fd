import { unlessAborted, withFirst } from '../abort.ts'
import { whenLate } from '../deadlines.ts'
import { currentContext } from '../resource/context.ts'

export interface Bounds {
  /** How many bytes may come, uncompressed. */
  readonly maxBytes: number
  /** Milliseconds that it may take, the last byte included. */
  readonly timeout: number
  /** Gives it up. */
  readonly signal?: AbortSignal
}

export interface Download extends Bounds {
  /** The media types that are wanted. */
  readonly accept: string
  readonly headers?: Readonly<Record<string, string>>
  /** The statuses of what is an answer; default: 200 alone. */
  readonly statuses?: readonly number[]
}

/** What came, JSON. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly value: unknown
}

/**
 * The JSON at `url`, in time and not too long; from nowhere else, since redirects are not followed.
 *
 * @throws {Error} where nothing, another status, something else or too much comes; its message has no part of `url` or of what came
 */
export async function downloadJson(
  url: string,
  { accept, headers, statuses = [200], ...bounds }: Download,
): Promise<Answer> {
  const answer = await fetchJson(url, { headers: { ...headers, accept } }, bounds)
  if (statuses.includes(answer.status)) return answer
  throw new Error(`the answer was ${answer.status}`)
}

/**
 * The same for any request, whatever its status, unless that says that nobody is there to answer.
 *
 * @throws {Error} as above
 */
export async function fetchJson(
  url: string,
  init: RequestInit,
  { maxBytes, timeout, signal }: Bounds,
): Promise<Answer> {
  const end = new AbortController()
  const late = () => end.abort(new Error(`nothing complete came within ${timeout} ms`))
  const inTime = whenLate(timeout, late)
  try {
    return await withFirst([end.signal, signal, init.signal], async (first) => {
      const response = await fetch(url, { ...init, signal: first, redirect: 'error' })
      const { status, headers } = response
      if (status >= 500) {
        await response.body?.cancel()
        throw new Error(`the answer was ${status}`)
      }
      const text = await readText(response, maxBytes)
      return { status, headers, text, value: parse(text, status) }
    })
  } finally {
    inTime()
  }
}

async function readText({ body }: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new Error(`more than ${maxBytes} bytes came`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** The words of `JSON.parse` quote what came. */
function parse(text: string, status: number): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`the answer, ${status}, is not JSON`)
  }
}

/**
 * Waits for what several requests may wait for, until the client of this one has gone, or a little less than it may take.
 *
 * @param late what it fails with then
 */
export async function withinRequest<T>(
  promise: Promise<T>,
  late: (cause: Error) => Error,
  signal?: AbortSignal,
): Promise<T> {
  const context = currentContext()
  const left = (context?.expires ?? Number.POSITIVE_INFINITY) - performance.now()
  const end = Number.isFinite(left)
    ? AbortSignal.timeout(Math.max(0, Math.floor(left * 0.9)))
    : undefined
  try {
    return await unlessAborted(promise, signal, context?.signal, end)
  } catch (error) {
    throw end?.aborted && error === end.reason ? late(error as Error) : error
  }
}
