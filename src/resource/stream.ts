/**
 * Whether `value` is sent as the bytes that it has, as Fastify does it: a stream of Node.js or of the web, or a `Response`.
 * Apart from the check of responses, because routes ask first.
 */
export function isStream(value: unknown): value is object {
  if (isPlain(value)) return false
  const { pipe, getReader } = value as { pipe?: unknown; getReader?: unknown }
  return (
    typeof pipe === 'function' ||
    typeof getReader === 'function' ||
    Object.prototype.toString.call(value) === '[object Response]'
  )
}

/** Whether `value` gives what it has one by one, to who awaits it: JSON knows nothing of it. */
export function isAsyncIterable(value: unknown): boolean {
  return !isPlain(value) && Symbol.asyncIterator in (value as object)
}

/** Most responses are objects of no class, or lists: of them nothing more is asked. */
function isPlain(value: unknown): value is null | undefined | string | number | boolean | bigint {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true
  return Object.getPrototypeOf(value) === Object.prototype && !(Symbol.asyncIterator in value)
}

/** Ends what nobody reads, so that it holds nothing open. */
export function discard(stream: object): void {
  const { destroy, cancel, body } = stream as {
    destroy?: () => void
    cancel?: () => Promise<void>
    body?: ReadableStream | null
  }
  // A web stream that somebody else reads already cannot be cancelled, and needs not.
  if (typeof destroy === 'function') destroy.call(stream)
  else if (typeof cancel === 'function') cancel.call(stream).catch(() => {})
  else body?.cancel().catch(() => {})
}
