import { getEventListeners } from 'node:events'
import { types } from 'node:util'

/** How much hangs on a signal: its listeners, and the signals that `AbortSignal.any` has made of it. */
export function hangingOn(signal: AbortSignal): number {
  const own = Object.getOwnPropertySymbols(signal).map((symbol): unknown =>
    Reflect.get(signal, symbol),
  )
  const derived = own.filter(types.isSet)
  return (
    getEventListeners(signal, 'abort').length + derived.reduce((sum, { size }) => sum + size, 0)
  )
}
