import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'

/** Listens on a free port until the test ends. */
export async function occupy(t: Test, server: Server = createServer()): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

export async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Tries until it is true; rejects after so many milliseconds. */
export async function poll(attempt: () => Promise<boolean>, limit = 60_000): Promise<true> {
  const end = performance.now() + limit
  while (performance.now() < end) {
    if (await attempt().catch(() => false)) return true
    await sleep(50)
  }
  throw new Error(`${limit} ms went by`)
}
