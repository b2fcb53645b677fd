// Compares Atlas with a plain Fastify application that does the same: docs/benchmarks.md.
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { SetupError } from '../test/servers/ready.ts'
import { Sandbox } from '../test/servers/sandbox.ts'
import { measureBare } from './bare.ts'
import { measureCached } from './cached.ts'
import { compareSamples } from './compare.ts'
import { findLoader } from './load.ts'
import { measureMigrations } from './migrations.ts'
import { type Options, readOptions } from './options.ts'
import { measurePages } from './pages.ts'
import { build, createDatabase } from './prepare.ts'
import { measureRemote } from './remote.ts'
import { type Results, report } from './report.ts'
import { routes } from './routes.ts'
import { measureCommands, measureStartup } from './startup.ts'
import { measureTasks } from './tasks.ts'
import { measureTelemetry } from './telemetry.ts'
import { measureTesting } from './testing.ts'
import { measureLoad } from './throughput.ts'
import { measureTokens } from './tokens.ts'
import { measureUpstream } from './upstream.ts'

try {
  const options = readOptions(process.argv.slice(2))
  const results = await measure(options)
  const machine = `${cpus().length} × ${cpus()[0]?.model}, Node.js ${process.versions.node}`
  if (options.json) console.log(JSON.stringify({ machine, options, ...results }, toJson, 2))
  else console.log(`${machine}\n\n${report(results)}`)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

async function measure(options: Options): Promise<Results> {
  if (!existsSync('/proc/self/schedstat'))
    throw new SetupError('The benchmarks read /proc: they need Linux')
  // In memory, where there is such a file system: the disk is not what is measured.
  if (existsSync('/dev/shm')) process.env.TMPDIR ??= '/dev/shm'
  const sandbox = new Sandbox()
  try {
    const wrk = await findLoader(sandbox)
    await build(options.build)
    const place = { sandbox, wrk, database: await createDatabase(sandbox.folder) }
    const { only, pairs } = options
    const loads = [...routes.keys()].some((route) => only.has(route))
    return {
      ...(loads && { throughput: compareSamples(await measureLoad(place, options)) }),
      ...(only.has('bare') && { bare: await measureBare(place, options) }),
      ...(only.has('tokens') && { tokens: await measureTokens(place, options) }),
      ...(only.has('telemetry') && { telemetry: await measureTelemetry(place, options) }),
      ...(only.has('cached') && { cached: await measureCached(place, options) }),
      ...(only.has('startup') && { startup: await measureStartup(place, pairs) }),
      ...(only.has('help') && { help: await measureCommands(pairs + 5) }),
      ...(only.has('migrations') && (await measureMigrations(sandbox, options))),
      ...(only.has('pages') && { pages: await measurePages(sandbox, options.rows) }),
      ...(only.has('remote') && { remote: await measureRemote(options) }),
      ...(only.has('tasks') && { tasks: await measureTasks(sandbox, options) }),
      ...(only.has('upstream') && { upstream: await measureUpstream(options) }),
      ...(only.has('testing') && { testing: await measureTesting(sandbox, pairs) }),
    }
  } finally {
    await sandbox.close()
  }
}

function toJson(_: string, value: unknown): unknown {
  return value instanceof Set ? [...value] : value
}
