import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { attach } from '../test/servers/attach.ts'
import { mysql } from '../test/servers/mysql.ts'
import { findProgram } from '../test/servers/program.ts'
import { progress, SetupError } from '../test/servers/ready.ts'
import { Sandbox } from '../test/servers/sandbox.ts'
import { Databases } from './databases.ts'
import { linkKit } from './migrations.ts'
import type { Driver, Proof } from './proof.ts'
import { proofs } from './table.ts'

// npm run prove -- NAME: runs a long proof. Exits with 0 where it holds, 1 where not, 2 where it is used wrongly.

const USAGE = `npm run prove -- NAME [flags]
  NAME             one of ${Object.keys(proofs).join(', ')}
  --seed N         the same seed does the same again; default: another one each time
  --size N         how large; each proof has its own default
  --driver NAME    sqlite, mysql, redis or http; default: all that it is about
  --help           this

Example: npm run prove -- migrate-race --size 50 --driver mysql`

class UsageError extends Error {}

const code = await main(process.argv.slice(2)).catch((error: Error) => {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n${USAGE}`)
    return 2
  }
  progress(error instanceof SetupError ? error.message : (error.stack ?? String(error)))
  return 1
})
process.exit(code)

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parse(argv)
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const [name = '', ...more] = positionals
  const load = proofs[name]
  if (!load || more.length > 0)
    throw new UsageError(`${positionals.join(' ') || 'Nothing'} is no proof`)
  const { proof } = await load()
  if (proof.needs && !findProgram([proof.needs]))
    throw new SetupError(`${name} needs the program ${proof.needs}, which is not on this machine`)
  const seed = count('seed', values.seed) ?? 1 + Math.floor(Math.random() * 1e9)
  const size = count('size', values.size) ?? proof.size.full
  const drivers = proof.drivers.filter((driver) => !values.driver || driver === values.driver)
  if (drivers.length === 0)
    throw new UsageError(`${name} is not about ${values.driver}, but ${proof.drivers.join(', ')}`)
  return await withServers(drivers, (folder) => prove(proof, { drivers, seed, size, folder }))
}

function parse(args: string[]) {
  const text = { type: 'string' } as const
  const options = { seed: text, size: text, driver: text, help: { type: 'boolean' } } as const
  try {
    return parseArgs({ args, allowPositionals: true, options })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function count(name: string, text: string | undefined): number | undefined {
  const number = text === undefined ? undefined : Number(text)
  if (number === undefined || (Number.isInteger(number) && number > 0)) return number
  throw new UsageError(`--${name} is ${text}; expected a positive integer`)
}

interface Wanted {
  drivers: readonly Driver[]
  seed: number
  size: number
  folder: string
}

async function prove(proof: Proof, { drivers, seed, size, folder }: Wanted): Promise<number> {
  progress(`${proof.summary} (--seed ${seed} --size ${size})`)
  for (const driver of drivers) {
    const databases = new Databases(driver, folder)
    const work = mkdtempSync(join(folder, 'work-'))
    linkKit(work)
    const began = performance.now()
    const ends: (() => unknown)[] = [() => databases.drop()]
    const figures = await proof
      .prove({
        driver,
        seed,
        size,
        folder: work,
        createDatabase: () => databases.create(),
        teardown: (end) => ends.push(end),
        tell: (done) => tell(driver, done, size),
      })
      .finally(async () => {
        for (const end of ends.reverse()) await end()
      })
    rmSync(work, { recursive: true })
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    const words = Object.entries(figures).map(([name, value]) => `${name} ${value}`)
    console.log(`${driver}: ${words.join(', ')}; ${seconds} s`)
  }
  return 0
}

function tell(driver: Driver, done: number, size: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${driver}: ${done} of ${size}\x1b[K`)
  else if (done % Math.max(1, Math.floor(size / 10)) === 0)
    progress(`${driver}: ${done} of ${size}`)
}

async function withServers(
  drivers: readonly Driver[],
  work: (folder: string) => Promise<number>,
): Promise<number> {
  // In memory, where there is such a file system: it is not the disk that is looked at.
  if (existsSync('/dev/shm')) process.env.TMPDIR ??= '/dev/shm'
  const sandbox = new Sandbox()
  try {
    if (drivers.includes('mysql')) Object.assign(process.env, await attach([mysql], sandbox))
    return await work(sandbox.folder)
  } finally {
    await sandbox.close()
  }
}
