import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { CLIError } from '@oclif/core/errors'
import * as Flags from '@oclif/core/flags'
import { BaseCommand } from './_base.ts'
import { placeOf, saidBy, serve } from './_serve.ts'

export default class Serve extends BaseCommand {
  static override summary = 'Serve HTTP'
  static override description =
    'Serves until SIGTERM or SIGINT: then /readyz fails, requests in flight finish, connections close, and it exits 0.'
  static override examples = [
    '<%= config.bin %> serve',
    '<%= config.bin %> serve --port 3000 --host 0.0.0.0',
    '<%= config.bin %> serve --socket /run/shop/http.sock',
    '<%= config.bin %> serve --watch',
    '<%= config.bin %> serve --workers auto --max-memory 512',
  ]
  static override flags = {
    port: Flags.integer({
      char: 'p',
      min: 0,
      max: 65_535,
      description: 'default: PORT; 0 takes a free one',
    }),
    host: Flags.string({ description: 'default: HOST' }),
    socket: Flags.string({
      helpValue: 'PATH',
      exclusive: ['port', 'host'],
      description: 'serve on this unix socket instead',
    }),
    watch: Flags.boolean({ description: 'start again when a file of the service or .env changes' }),
    workers: Flags.custom<number | 'auto'>({
      char: 'w',
      parse: async (text) => readWorkers(text),
      exclusive: ['watch'],
      helpValue: 'N|auto',
      description:
        'serve with so many processes on one port; auto: one for each CPU that there is for them, and each 192 MB. SIGHUP replaces them one by one with the code and .env of then, SIGUSR2 logs what there is',
    })(),
    'max-age': Flags.integer({
      min: 1,
      dependsOn: ['workers'],
      helpValue: 'SECONDS',
      description: 'replace a process that is older',
    }),
    'max-memory': Flags.integer({
      min: 1,
      dependsOn: ['workers'],
      helpValue: 'MB',
      description: 'replace a process that takes more memory (RSS)',
    }),
    'max-silence': Flags.integer({
      min: 2,
      dependsOn: ['workers'],
      helpValue: 'SECONDS',
      description: 'replace a process that is stuck for so long; default: 30',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Serve)
    const { watch, workers = 1 } = flags
    if (!watch && flags.workers === undefined) return await serve(this.script, flags)
    const { root } = this.locate()
    const { processesFor, supervise } = await import('../src/process/supervisor.ts')
    const { watchFiles } = await import('../src/process/watch.ts')
    const { createLogger, logWritten } = await import('../src/process/log.ts')
    const { GroupMetrics } = await import('../src/telemetry/group-metrics.ts')
    const log = await createLogger(basename(root), process.env)
    const metrics = new GroupMetrics((place, text) => {
      const tell = (err: unknown) => log.error({ err }, 'the metrics cannot be served')
      import('./_metrics.ts').then(({ serveMetrics }) => serveMetrics(place, text)).catch(tell)
    })
    const code = await supervise({
      ...asStarted(),
      // Alone it needs no oclif, and none of the memory that it takes.
      args: ['serve'],
      // A socket that was passed is closed with the last process that has it, and that ends at every change.
      place: watch ? saidBy(flags) : await placeOf(flags),
      count: workers === 'auto' ? processesFor() : workers,
      maxAge: flags['max-age'],
      maxMemory: flags['max-memory'],
      maxSilence: flags['max-silence'],
      watch: watch ? (onChange) => watchFiles(root, onChange) : undefined,
      log,
    })
    metrics.close()
    await logWritten(log)
    // Not by an empty loop: as Node.js takes itself apart then, a signal would be what this process ends by.
    process.exit(code)
  }
}

/** @throws {CLIError} wrong usage */
function readWorkers(text: string): number | 'auto' {
  if (text === 'auto') return text
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= 1000) return count
  throw new CLIError(`--workers is ${text}; expected auto, or an integer from 1 to 1000`, {
    exit: 2,
  })
}

/** Script and folder by the paths that they were given by: a link among them may lead to a newer release later. */
function asStarted(): { script: string; cwd: string } {
  const real = process.cwd()
  const { PWD = real } = process.env
  const cwd = isSame(PWD, real) ? PWD : real
  const [, script = ''] = process.argv
  return { cwd, script: script.startsWith(`${real}/`) ? cwd + script.slice(real.length) : script }
}

function isSame(a: string, b: string): boolean {
  const [one, other] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }))
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev
}
