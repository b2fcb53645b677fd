import { unlessAborted } from '../abort.ts'
import { currentContext } from '../resource/context.ts'

export interface Download {
  /** The media types that are wanted. */
  readonly accept: string
  /** How many bytes may come, uncompressed. */
  readonly maxBytes: number
  /** Milliseconds that it may take, the last byte included. */
  readonly timeout: number
  /** Gives it up. */
  readonly signal?: AbortSignal
}

/**
 * The text at `url`, in time and not too long; from nowhere else, since redirects are not followed.
 *
 * @throws {Error} where nothing, something else than 200, or too much comes; its message has no part of `url`
 */
export async function download(
  url: string,
  { accept, maxBytes, timeout, signal }: Download,
): Promise<string> {
  const controller = new AbortController()
  const late = () => controller.abort(new Error(`nothing complete came within ${timeout} ms`))
  const timer = setTimeout(late, timeout)
  try {
    const signals = [controller.signal, ...(signal ? [signal] : [])]
    const response = await fetch(url, {
      signal: AbortSignal.any(signals),
      headers: { accept },
      redirect: 'error',
    })
    if (!response.ok) {
      await response.body?.cancel()
      throw new Error(`the answer was ${response.status}`)
    }
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) throw new Error(`more than ${maxBytes} bytes came`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString()
  } finally {
    clearTimeout(timer)
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
