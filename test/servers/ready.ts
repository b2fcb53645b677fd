import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logged } from './sandbox.ts'

/** Something for the developer to put right: printed without a stack. */
export class SetupError extends Error {}

/** Tells the developer what is going on, on stderr. */
export function progress(message: string): void {
  process.stderr.write(`${message}\n`)
}

/** The error that says what failed and shows how the log ends. */
function failure(what: string, { log }: Pick<Logged, 'log'>): SetupError {
  const tail = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-20)
  return new SetupError([`${what}; its log ends:`, ...tail].join('\n  '))
}

/**
 * Waits for a program that ends by itself.
 *
 * @throws SetupError with the end of its log if it fails
 */
export async function untilDone(name: string, started: Logged): Promise<void> {
  const [code] = await once(started.process, 'exit')
  if (code !== 0) throw failure(`${name} failed`, started)
}

/**
 * Repeats `probe` until it succeeds.
 *
 * @param seconds how long to try
 * @throws SetupError with the end of the log if the server ends first or the time is over
 */
export async function untilReady(
  name: string,
  server: Logged,
  probe: () => Promise<unknown>,
  seconds = 120,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000
  while (Date.now() < deadline) {
    const { exitCode, signalCode } = server.process
    if (exitCode !== null || signalCode !== null)
      throw failure(`${name} ended at its start`, server)
    try {
      await probe()
      return
    } catch {
      await delay(50)
    }
  }
  throw failure(`${name} was not ready after ${seconds} s`, server)
}

/**
 * Below the ports that systems give to whom any will do, who could have it before it is used, or while its server is away: a node of a
 * Redis cluster also takes the one 10,000 above. Above 10080, the highest that `fetch` refuses (WHATWG Fetch, "bad port").
 */
const PORTS = [11_000, 22_000] as const

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(...PORTS)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
  throw new Error(`no port from ${PORTS.join(' to ')} is free`)
}
