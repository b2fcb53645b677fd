import { setTimeout as sleep } from 'node:timers/promises'
import { Load } from '../src/process/load-clients.ts'
import { type Child, startChild } from './children.ts'
import { assertSame, type Proof, type ProofOptions } from './proof.ts'
import type { Transferred } from './transfer-child.ts'

/** From this size on times and memory count. */
const LONG = 100
/** What a process may have more of than before, in bytes. */
const GROWTH = 50 * 1024 * 1024
/** How much longer other requests may take meanwhile. */
const FACTOR = 2

export const proof: Proof = {
  summary:
    'Files of SIZE MB are sent, in a form and alone, and SIZE thousand rows are exported: by a client with 200 Mbit/s: all of it arrives, memory stays flat, and others are answered as before',
  drivers: ['sqlite', 'mysql'],
  size: { full: 1000, short: 2 },
  prove,
}

async function prove(options: ProofOptions): Promise<Record<string, number>> {
  const { size, createDatabase, tell } = options
  const DATABASE_URL = await createDatabase()
  const server = await startChild(options, 'files', { ...options.env, DATABASE_URL })
  const client = await startChild(options, 'transfer', {})
  const url = await server.ask<string>('url')
  await server.ask('fill', size * 1000)
  // What the first ones take is kept for the next.
  for (const name of ['form', 'alone']) await client.ask(name, { url, size: Math.min(size, 100) })
  const times: number[] = []
  const load = new Load({
    clients: { kept: 4 },
    rate: 100,
    next: () => ({ url: `${url}/files/small` }),
    onAnswer: ({ took }) => times.push(took),
  })
  options.teardown(() => load.stop())
  const p99 = () => {
    const sorted = times.splice(0).toSorted((a, b) => a - b)
    return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
  }
  const quiet = Math.min(size * 100, 10_000)
  await sleep(quiet)
  const before = p99()
  const figures: Record<string, number> = { 'p99 before (ms)': round(before) }
  for (const [index, name] of TRANSFERS.entries()) {
    const { grown, took } = await transfer(server, client, { name, url, size, least: quiet })
    const during = p99()
    if (size >= LONG && grown > GROWTH)
      throw new Error(`${name}: the process has grown by ${inMb(grown)} MB`)
    if (size >= LONG && during > FACTOR * before)
      throw new Error(`${name}: others took ${round(during)} ms (p99), ${round(before)} before`)
    Object.assign(figures, {
      [`${name} (s)`]: round(took / 1000),
      [`${name}: grown (MB)`]: inMb(grown),
      [`${name}: p99 (ms)`]: round(during),
    })
    tell(Math.floor((size * (index + 1)) / TRANSFERS.length))
  }
  await load.stop()
  if (load.failures.length > 0) throw new Error(`others failed: ${load.failures[0]}`)
  return figures
}

const TRANSFERS = ['form', 'alone', 'rows'] as const

/** Again and again until it has taken `least` ms: of few requests of others the slowest hundredth is chance. */
async function transfer(
  server: Child,
  client: Child,
  { name, url, size, least }: { name: string; url: string; size: number; least: number },
) {
  await server.ask('watch')
  const began = performance.now()
  let [count, all] = [0, 0]
  while (all < least) {
    const sent = await client.ask<Transferred>(name, { url, size })
    assertSame(sent.arrived, sent.expected, name)
    all = performance.now() - began
    count++
  }
  return { took: all / count, grown: await server.ask<number>('grown') }
}

const inMb = (bytes: number): number => Math.round(bytes / 1_048_576)
const round = (number: number): number => Math.round(number * 10) / 10
